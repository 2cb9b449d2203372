"""Every nth delivery is struck, none is lost, and a clock is right again in the end."""

from __future__ import annotations

import asyncio
import time
from typing import Any, cast

import pytest
from nats.aio.msg import Msg

from squall.services.node.interference import FOLLOW_S, Interfere, Interference

pytestmark = pytest.mark.anyio


def made() -> tuple[Interference, list[tuple[str, bool, int]]]:
    said: list[tuple[str, bool, int]] = []
    return Interference(lambda kind, on, struck: said.append((kind, on, struck))), said


class Subscriber:
    """Notes what it is handed, by number. Its ``handler`` is one subscription's."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.handler = self._note

    def _note(self, message: Msg) -> None:
        self.got.append(int(message.data))


def message(data: bytes = b"0", **headers: str) -> Msg:
    return Msg(_client=cast("Any", None), data=data, headers=headers)


def deliver(interference: Interference, count: int) -> list[int]:
    subscriber = Subscriber()
    for number in range(1, count + 1):
        interference(subscriber.handler, message(b"%d" % number))
    return subscriber.got


async def test_nothing_is_struck_before_and_after() -> None:
    interference, said = made()
    assert deliver(interference, 3) == [1, 2, 3]
    interference.begin(Interfere(kind="duplicate", every=2))
    interference.begin(Interfere(kind="none"))
    assert deliver(interference, 3) == [1, 2, 3]
    assert said == [("duplicate", False, 0)]


async def test_a_delivery_is_struck_whatever_its_headers_say_and_a_word_of_the_broker_is_not() -> None:
    interference, _ = made()
    interference.begin(Interfere(kind="duplicate", every=1))
    subscriber = Subscriber()
    delivery = message(b"1", Status="503")
    delivery.reply = "$JS.ACK.a.b.1.1.1.1.0"
    interference(subscriber.handler, delivery)
    interference(subscriber.handler, message(b"2", Status="503"))
    assert subscriber.got == [1, 1, 2]


async def test_every_nth_comes_twice() -> None:
    interference, said = made()
    interference.begin(Interfere(kind="duplicate", every=2))
    assert deliver(interference, 4) == [1, 2, 2, 3, 4, 4]
    interference.begin(Interfere(kind="none"))
    assert said == [("duplicate", True, 1), ("duplicate", False, 2)]


async def test_every_nth_comes_late_and_the_others_do_not_wait() -> None:
    interference, _ = made()
    interference.begin(Interfere(kind="late", every=3, delay_s=0.05))
    got = deliver(interference, 4)
    assert got == [1, 2, 4]
    async with asyncio.timeout(5):
        while len(got) < 4:
            await asyncio.sleep(0.01)
    assert got == [1, 2, 4, 3]


async def test_every_nth_comes_after_the_one_that_follows_it() -> None:
    interference, said = made()
    interference.begin(Interfere(kind="reorder", every=2))
    got = deliver(interference, 6)
    assert got == [1, 3, 2, 5, 4]
    async with asyncio.timeout(FOLLOW_S + 5):
        while len(got) < 6:
            await asyncio.sleep(0.01)
    assert got[-1] == 6
    interference.begin(Interfere(kind="none"))
    assert said[-1] == ("reorder", False, 2), "one that nothing overtook was counted"


async def test_order_is_broken_within_a_subscription_and_not_between_two() -> None:
    interference, said = made()
    interference.begin(Interfere(kind="reorder", every=1))
    one, other = Subscriber(), Subscriber()
    interference(one.handler, message(b"1"))
    interference(other.handler, message(b"2"))
    assert (one.got, other.got) == ([], [])
    async with asyncio.timeout(FOLLOW_S + 5):
        while not (one.got and other.got):
            await asyncio.sleep(0.01)
    assert said == []


async def test_what_the_broker_says_of_a_pull_is_no_delivery() -> None:
    interference, said = made()
    interference.begin(Interfere(kind="duplicate", every=1))
    subscriber = Subscriber()
    interference(subscriber.handler, message(Status="408"))
    assert (subscriber.got, said) == ([0], [])


async def test_what_is_held_when_it_ends_is_handed_over() -> None:
    interference, _ = made()
    for kind in ("late", "reorder"):
        interference.begin(Interfere(kind=kind, every=1, delay_s=60.0))
        got = deliver(interference, 1)
        assert got == []
        interference.begin(Interfere(kind="none"))
        assert got == [1]


async def test_a_clock_is_off_or_jumps_and_is_right_again() -> None:
    true_time = time.time
    interference, said = made()
    try:
        interference.begin(Interfere(kind="clock", offset_s=-500.0, period_s=0.02))
        assert said == [("clock", True, -500)]
        seen = set()
        async with asyncio.timeout(5):
            while seen != {0, -500}:
                seen.add(round(time.time() - true_time()))
                await asyncio.sleep(0.01)
        interference.begin(Interfere(kind="none"))
        assert time.time is true_time
    finally:
        time.time = true_time
    assert said[-1] == ("clock", False, 0)


async def test_every_nth_attempt_fails_or_takes_longer_and_deliveries_are_let_be() -> None:
    interference, told = made()
    assert [await interference.attempt() for _ in range(3)] == ["", "", ""]
    interference.begin(Interfere(kind="errors", every=3))
    assert [bool(await interference.attempt()) for _ in range(7)] == [False, False, True] * 2 + [False]
    assert deliver(interference, 5) == [1, 2, 3, 4, 5]
    interference.begin(Interfere(kind="slow", every=1, delay_s=0.05))
    began_s = asyncio.get_running_loop().time()
    assert await interference.attempt() == ""
    assert asyncio.get_running_loop().time() - began_s >= 0.04
    interference.begin(Interfere(kind="none"))
    assert told == [("errors", True, 1), ("errors", False, 2), ("slow", True, 1), ("slow", False, 1)]
