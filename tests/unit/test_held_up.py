"""A handler that holds up its agent's loop is noticed, with where it stands; what else does is not told."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from squall.services.handlers.mistakes import Frame, own_files
from squall.services.node.held_up import LOOK_S, LOOKS_MIN, MEANWHILE_S, Tell, Watch

pytestmark = pytest.mark.anyio

HELD_S = (LOOKS_MIN + 10) * LOOK_S
"""So long that a busy machine, which makes looks late, leaves enough of them."""

Told = list[tuple[Frame, float, bool]]


def into(told: Told) -> Tell:
    def tell(frame: Frame, held_s: float, *, is_over: bool) -> None:
        told.append((frame, held_s, is_over))

    return tell


def hold(until_s: float) -> None:
    """Hold the loop, letting other threads run, in a line of this file."""
    while time.monotonic() < until_s:
        time.sleep(LOOK_S / 10)


async def watched(own: object, told: Told, held_s: float) -> None:
    with Watch(own_files(own), into(told)).watching():
        await asyncio.sleep(2 * LOOK_S)
        hold(time.monotonic() + held_s)
        await asyncio.sleep(2 * LOOK_S)


async def test_where_the_loop_was_held_up_is_told_with_how_long() -> None:
    told: Told = []
    await watched(hold, told, HELD_S)
    assert len(told) == 1
    frame, seconds, is_over = told[0]
    assert is_over
    assert (Path(frame.file), frame.function) == (Path(__file__), "hold")
    assert str(frame).startswith(f"{Path(__file__).relative_to(Path.cwd())}:")
    assert seconds >= HELD_S - 2 * LOOK_S


async def test_what_is_not_over_is_told_meanwhile_as_it_may_never_be() -> None:
    """By the watching thread, as the loop cannot."""
    told: Told = []
    await watched(hold, told, MEANWHILE_S + HELD_S)
    assert [is_over for _, _, is_over in told] == [False, True]
    (first, meanwhile_s, _), (last, held_s, _) = told
    assert first.function == last.function == "hold"
    assert MEANWHILE_S <= meanwhile_s < held_s


async def test_a_short_hold_is_not_told() -> None:
    told: Told = []
    await watched(hold, told, LOOK_S / 2)
    assert told == []


async def test_what_is_not_the_handlers_is_not_told() -> None:
    told: Told = []
    with Watch(lambda file: False, into(told)).watching():
        hold(time.monotonic() + HELD_S)
        await asyncio.sleep(2 * LOOK_S)
    assert told == []


async def test_a_watch_ends_with_its_block() -> None:
    told: Told = []
    with Watch(own_files(hold), into(told)).watching():
        await asyncio.sleep(LOOK_S)
    hold(time.monotonic() + HELD_S)
    await asyncio.sleep(2 * LOOK_S)
    assert told == []
