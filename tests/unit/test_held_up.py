"""A handler that holds up its agent's loop is noticed, with where it stands; what else does is not told."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from squall.services.handlers.mistakes import Frame, own_files
from squall.services.node.held_up import LOOK_S, LOOKS_MIN, Watch

pytestmark = pytest.mark.anyio

HELD_S = (LOOKS_MIN + 10) * LOOK_S
"""So long that a busy machine, which makes looks late, leaves enough of them."""

Told = list[tuple[Frame, float]]


def hold(until_s: float) -> None:
    """Hold the loop, letting other threads run, in a line of this file."""
    while time.monotonic() < until_s:
        time.sleep(LOOK_S / 10)


async def watched(own: object, told: Told, held_s: float) -> None:
    with Watch(own_files(own), lambda frame, seconds: told.append((frame, seconds))).watching():
        await asyncio.sleep(2 * LOOK_S)
        hold(time.monotonic() + held_s)
        await asyncio.sleep(2 * LOOK_S)


async def test_where_the_loop_was_held_up_is_told_with_how_long() -> None:
    told: Told = []
    await watched(hold, told, HELD_S)
    assert len(told) == 1
    frame, seconds = told[0]
    assert (Path(frame.file), frame.function) == (Path(__file__), "hold")
    assert str(frame).startswith(f"{Path(__file__).relative_to(Path.cwd())}:")
    assert seconds >= HELD_S - 2 * LOOK_S


async def test_a_short_hold_is_not_told() -> None:
    told: Told = []
    await watched(hold, told, LOOK_S / 2)
    assert told == []


async def test_what_is_not_the_handlers_is_not_told() -> None:
    told: Told = []
    with Watch(lambda file: False, lambda frame, seconds: told.append((frame, seconds))).watching():
        hold(time.monotonic() + HELD_S)
        await asyncio.sleep(2 * LOOK_S)
    assert told == []


async def test_a_watch_ends_with_its_block() -> None:
    told: Told = []
    with Watch(own_files(hold), lambda frame, seconds: told.append((frame, seconds))).watching():
        await asyncio.sleep(LOOK_S)
    hold(time.monotonic() + HELD_S)
    await asyncio.sleep(2 * LOOK_S)
    assert told == []
