"""A way with toxics: what is late, held, swallowed or cut, under the names that Toxiproxy gives it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from squall.chaos.inject.toxiproxy.toxics import Bandwidth, Latency, ResetPeer, SlowClose, Timeout, Toxic
from squall.chaos.simulation.loop import Process, VirtualLoop
from squall.chaos.simulation.network import END, Channel, Way

FAR = Process("far")


def a_hundred(frame: Any) -> int:
    """Each frame takes a hundred bytes."""
    return 100


class Ends:
    """Both ends of one channel: what has come to each, and when."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.way = Way("node", self.loop, random.Random(1), "broker")
        self.up: list[tuple[Any, float]] = []
        self.down: list[tuple[Any, float]] = []
        self.channel: Channel

    def dial(self) -> Channel | None:
        return self.way.dial(
            lambda frame: self.down.append((frame, self.loop.time())),
            lambda channel: (lambda frame: self.up.append((frame, self.loop.time())), FAR.context()),
        )

    def run(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            channel = self.dial()
            assert channel is not None
            self.channel = channel
            await work()
            await asyncio.sleep(10.0)

        self.loop.run(main())

    def send(self, *frames: str) -> None:
        for frame in frames:
            self.channel.up.send(frame, a_hundred)
            self.channel.down.send(frame, a_hundred)

    @property
    def heard(self) -> tuple[list[Any], list[Any]]:
        return [frame for frame, _ in self.up], [frame for frame, _ in self.down]


def both(kind: Callable[..., Toxic], **fields: int) -> list[Toxic]:
    return [kind(stream="upstream", **fields), kind(stream="downstream", **fields)]


async def put(way: Way, toxics: list[Toxic]) -> None:
    for toxic in toxics:
        await way.add(toxic)


async def take(way: Way, toxics: list[Toxic]) -> None:
    for toxic in toxics:
        await way.remove(toxic)


def test_what_is_sent_arrives_in_order_and_a_little_later() -> None:
    ends = Ends()

    async def work() -> None:
        ends.send(*"abcdef")

    ends.run(work)
    assert ends.heard == (list("abcdef"), list("abcdef"))
    assert all(0.0 < at < 0.01 for _, at in ends.up)


def test_latency_holds_each_frame_and_lets_go_at_once_when_it_is_removed() -> None:
    ends, toxics = Ends(), both(Latency, latency_ms=500)

    async def work() -> None:
        await put(ends.way, toxics)
        ends.send("a")
        await asyncio.sleep(1.0)
        ends.send("b")
        await asyncio.sleep(0.1)
        await take(ends.way, toxics)
        ends.send("c")

    ends.run(work)
    assert ends.heard == (["a", "b", "c"], ["a", "b", "c"])
    assert 0.5 <= ends.up[0][1] < 0.6
    assert 1.1 <= ends.up[1][1] < 1.2


def test_a_stall_holds_everything_and_loses_nothing() -> None:
    ends, toxics = Ends(), both(Bandwidth, rate_kb_per_s=0)

    async def work() -> None:
        await put(ends.way, toxics)
        ends.send("a", "b")
        await asyncio.sleep(3.0)
        assert ends.heard == ([], [])
        await take(ends.way, toxics)

    ends.run(work)
    assert ends.heard == (["a", "b"], ["a", "b"])


@pytest.mark.parametrize("side", ["near", "far"])
def test_a_stall_holds_a_close_too_and_what_was_sent_before_it(side: str) -> None:
    ends, toxics = Ends(), both(Bandwidth, rate_kb_per_s=0)

    async def work() -> None:
        await put(ends.way, toxics)
        ends.send("a")
        if side == "near":
            ends.channel.close()
        else:
            ends.channel.closed_by_far()
        await asyncio.sleep(3.0)
        assert ends.heard == ([], [])
        await take(ends.way, toxics)

    ends.run(work)
    assert ends.heard == ((["a", END], []) if side == "near" else ([], ["a", END]))


def test_a_close_that_is_held_is_cut_with_its_way() -> None:
    ends, toxics = Ends(), both(Bandwidth, rate_kb_per_s=0)

    async def work() -> None:
        await put(ends.way, toxics)
        ends.send("a")
        ends.channel.closed_by_far()
        await ends.way.disable()

    ends.run(work)
    assert ends.heard == ([], [END])


def test_a_timeout_swallows_what_is_sent_and_closes_when_it_is_removed() -> None:
    ends, toxics = Ends(), both(Timeout, timeout_ms=0)

    async def work() -> None:
        await put(ends.way, toxics)
        ends.send("a")
        await asyncio.sleep(1.0)
        await take(ends.way, toxics)

    ends.run(work)
    assert ends.heard == ([END], [END])


@pytest.mark.parametrize("holds_close", [False, True])
def test_a_close_passes_a_timeout_and_does_not_pass_a_slow_close(holds_close: bool) -> None:
    ends = Ends()
    toxics = [*both(Timeout, timeout_ms=0), *(both(SlowClose, delay_ms=3_600_000) if holds_close else [])]

    async def work() -> None:
        await put(ends.way, toxics)
        ends.channel.close()

    ends.run(work)
    assert ends.heard[0] == ([] if holds_close else [END])


def test_whoever_is_sent_something_under_a_reset_is_cut() -> None:
    ends = Ends()

    async def work() -> None:
        await put(ends.way, both(ResetPeer, timeout_ms=0))
        assert ends.heard == ([], [])
        ends.channel.up.send("a", a_hundred)

    ends.run(work)
    assert ends.heard == ([END], [END])


def test_one_direction_is_struck_and_the_other_is_not() -> None:
    ends = Ends()

    async def work() -> None:
        await ends.way.add(Timeout(stream="upstream", timeout_ms=0))
        ends.send("a")

    ends.run(work)
    assert ends.heard == ([], ["a"])


def test_a_disabled_way_refuses_and_cuts_what_there_is() -> None:
    ends = Ends()

    async def work() -> None:
        ends.send("a")
        await ends.way.disable()
        assert ends.dial() is None
        await ends.way.enable()
        assert ends.dial() is not None

    ends.run(work)
    assert ends.heard == ([END], [END])


def test_a_process_that_ends_has_its_connections_closed() -> None:
    ends = Ends()

    async def work() -> None:
        ends.channel.far = FAR
        ends.way.closed(FAR)

    ends.run(work)
    assert ends.heard[1] == [END]
