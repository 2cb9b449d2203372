"""Waiting for an event that means *look again*: over when it is set, and when so much time has passed."""

from __future__ import annotations

import asyncio

import pytest

from squall.bus.tasks import look_again
from squall.chaos.simulation.loop import VirtualLoop

WITHIN_S = 60.0


@pytest.mark.parametrize(("set_after_s", "took_s"), [(0.0, 0.0), (7.0, 7.0), (WITHIN_S + 1, WITHIN_S)])
def test_it_is_over_with_the_event_or_with_the_time(set_after_s: float, took_s: float) -> None:
    loop = VirtualLoop()

    async def look() -> float:
        event = asyncio.Event()
        loop.call_later(set_after_s, event.set)
        await look_again(event, WITHIN_S)
        assert event.is_set()
        return loop.time()

    assert loop.run(look()) == took_s


@pytest.mark.parametrize("cancelled", [False, True])
def test_nothing_sets_the_event_once_it_is_over(cancelled: bool) -> None:
    loop = VirtualLoop()

    async def look() -> bool:
        event = asyncio.Event()
        looking = asyncio.ensure_future(look_again(event, WITHIN_S))
        await asyncio.sleep(1.0)
        if cancelled:
            looking.cancel()
        else:
            event.set()
        await asyncio.wait({looking})
        event.clear()
        await asyncio.sleep(2 * WITHIN_S)
        return event.is_set()

    assert loop.run(look()) is False
