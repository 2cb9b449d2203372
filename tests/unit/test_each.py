"""Effects on their way to a sink, one by one or in batches: none is lost, doubled or held up by another."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from squall.bus.tasks import wait_until
from squall.services.effects import each
from squall.services.effects.each import OPEN_MAX, Each, OneByOne
from squall.services.effects.port import Register, Ties
from squall.services.rules.sinks import (
    Away,
    Carried,
    Outcome,
    Refused,
    Unknown,
    Wait,
)


class Bench:
    """Effects on their way to a function that answers for a sink.

    Attributes:
        answer: What it says of a key that came so often.
        sent: Keys, as they came.
        told: Lines of the history.
        settled: Tasks whose registers were left behind, once they were told of.
    """

    def __init__(self, answer: Callable[[str, int], Outcome], *, together: int = 4) -> None:
        self.answer = answer
        self.sent: list[str] = []
        self.told: list[dict[str, Any]] = []
        self.settled: list[str] = []
        self.deliveries: list[asyncio.Future[list[Register]]] = []
        self.keeps_back = False
        self.counters: Counter[str] = Counter()
        ties = Ties(
            record=lambda op, kind, **facts: self.told.append({"op": op, "type": kind, **facts}),
            counters=self.counters,
            settled=self._settle,
            keeps_back=lambda: self.keeps_back,
        )
        self.carrier = Each(OneByOne(self), ties, together=together, pause_first_s=0.001)

    async def send(self, key: str, body: bytes) -> Outcome:
        self.sent.append(key)
        await asyncio.sleep(0)
        return self.answer(key, self.sent.count(key))

    async def _settle(self, register: Register) -> None:
        self.settled.append(register.task)

    async def deliver(self, *tasks: str, effects: int = 1) -> list[Register]:
        registers = [
            (Register(task, n), [(f"{task}-{i}", b"{}") for i in range(effects)])
            for n, task in enumerate(tasks)
        ]
        assert await self.carrier.deliver(registers)
        return [register for register, _ in registers]

    async def until(self, look: Callable[[], Any], what: str) -> Any:
        async def probe() -> Any:
            return look()

        return await wait_until(probe, bool, timeout_s=30, what=what)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Bench]:
        running = asyncio.ensure_future(self.carrier.run())
        try:
            yield self
        finally:
            running.cancel()
            await asyncio.wait({running})


@pytest.mark.anyio
async def test_each_effect_is_sent_once_where_the_sink_takes_all() -> None:
    async with Bench(lambda key, nth: Carried()).running() as bench:
        registers = await bench.deliver(*(f"t-{n}" for n in range(600)), effects=2)
        await bench.until(lambda: bench.counters["filled"] == 1200, "their ends")
    assert Counter(bench.sent) == Counter(f"t-{n}-{i}" for n in range(600) for i in range(2))
    assert not any(register.open for register in registers)
    left = {register.task for register in registers} & {*bench.settled}
    assert len(left) == len(bench.settled) <= OPEN_MAX  # each at most once, and only what was left behind


@pytest.mark.anyio
async def test_what_is_refused_ends_with_its_reason_and_is_sent_once() -> None:
    async with Bench(lambda key, nth: Refused("no\x1b") if key == "t-1-0" else Carried()).running() as bench:
        registers = await bench.deliver("t-0", "t-1", "t-2")
    assert bench.sent.count("t-1-0") == 1
    assert [register.open for register in registers] == [0, 0, 0]
    (line,) = [line for line in bench.told if line["op"] == "refuse"]
    assert (line["what"], line["task"], line["order_id"]) == ("declined", "t-1", "t-1-0")
    assert line["reason"] == "no\\x1b"


@pytest.mark.anyio
async def test_what_has_no_answer_is_sent_again_with_the_same_key_and_holds_up_nobody() -> None:
    async with Bench(
        lambda key, nth: Unknown("500") if key == "t-1-0" and nth < 4 else Carried(before=nth > 1)
    ).running() as bench:
        registers = await bench.deliver("t-0", "t-1", "t-2")
        assert registers[0].open == registers[2].open == 0
        await bench.until(lambda: bench.settled, "its end")
    assert bench.settled == ["t-1"]
    assert bench.sent.count("t-1-0") == 4
    assert bench.counters["duplicate"] == 1
    assert [line["tries"] for line in bench.told if line["type"] == "unknown"] == [1, 2, 3]


@pytest.mark.anyio
async def test_a_sink_that_wants_to_be_left_alone_is_asked_nothing_by_anybody() -> None:
    loop, waits = asyncio.get_running_loop(), 0.3
    times: list[float] = []

    def answer(key: str, nth: int) -> Outcome:
        times.append(loop.time())
        return Wait(waits, "429") if len(times) == 1 else Carried()

    async with Bench(answer, together=1).running() as bench:
        await bench.deliver("t-0", "t-1", "t-2")
        await bench.until(lambda: len(bench.counters) and bench.counters["filled"] == 3, "their ends")
    assert times[1] - times[0] >= waits - 0.01
    assert bench.counters["venue_waits"] == 1


@pytest.mark.anyio
async def test_one_that_the_sink_wants_later_for_ever_delays_the_others_by_its_own_wait_only() -> None:
    async with Bench(
        lambda key, nth: Wait(0.01, "429") if key == "a-0-0" else Carried(), together=1
    ).running() as b:
        await b.deliver("a-0", *(f"b-{n}" for n in range(20)))
        await b.until(lambda: b.counters["filled"] == 20, "the ends of the others")
    assert b.sent.count("a-0-0") <= 20


@pytest.mark.anyio
async def test_a_sink_that_names_no_time_is_asked_ever_more_rarely() -> None:
    loop, times = asyncio.get_running_loop(), list[float]()

    def answer(key: str, nth: int) -> Outcome:
        times.append(loop.time())
        return Wait(0.0, "429") if nth < 9 else Carried()

    async with Bench(answer, together=1).running() as bench:
        await bench.deliver("t-0")
        await bench.until(lambda: bench.counters["filled"] == 1, "its end")
    assert times[-1] - times[0] >= sum(0.5 * 0.001 * 2**n for n in range(8)) - 0.001  # pauses that double


@pytest.mark.anyio
async def test_what_is_sent_again_is_not_overtaken_for_ever_by_what_is_fresh() -> None:
    async with Bench(
        lambda key, nth: Unknown("500") if key == "a-0" and nth == 1 else Carried(), together=1
    ).running() as bench:
        await bench.deliver("a")
        at_most, n = 2_000, 0
        while bench.sent.count("a-0") < 2 and n < at_most:  # there is always something fresh
            delivering = asyncio.ensure_future(bench.deliver(*(f"b-{n + i}" for i in range(50))))
            n += 50
            while len(bench.sent) < n - 10 and bench.sent.count("a-0") < 2:
                await asyncio.sleep(0)
            bench.deliveries.append(delivering)
        assert bench.sent.count("a-0") == 2
        await asyncio.gather(*bench.deliveries)
    assert n < at_most


@pytest.mark.anyio
async def test_a_sink_that_is_away_is_waited_for_and_nobody_is_further_ahead_for_it() -> None:
    away = True
    async with Bench(lambda key, nth: Away("refused") if away else Carried()).running() as bench:
        registers = await bench.deliver("t-0", "t-1")
        assert [register.open for register in registers] == [1, 1]
        away = False
        await bench.until(lambda: len(bench.settled) == 2, "their ends")
    assert bench.counters["filled"] == 2


@pytest.mark.anyio
async def test_a_sink_that_answers_on_nothing_makes_everybody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(each, "LEAVE_S", 0.01)
    ill = True
    async with Bench(lambda key, nth: Unknown("500") if ill else Carried(), together=64).running() as bench:
        await bench.deliver(*(f"a-{n}" for n in range(OPEN_MAX)))
        delivering = asyncio.ensure_future(bench.deliver("b-0"))
        await bench.until(lambda: bench.sent.count("b-0-0") > 1, "repeats")
        assert not delivering.done()
        ill = False
        await delivering
        await bench.until(lambda: bench.counters["filled"] == OPEN_MAX + 1, "their ends")


@pytest.mark.anyio
async def test_while_effects_are_kept_back_nothing_is_sent_again_and_all_of_it_is_given_back() -> None:
    async with Bench(lambda key, nth: Unknown("500")).running() as bench:
        registers = await bench.deliver("t-0", "t-1")
        bench.keeps_back = True
        recalled: set[Register] = set()
        while len(recalled) < 2:
            recalled |= bench.carrier.recall()
            await asyncio.sleep(0.01)
        assert recalled == {*registers}
        sent = len(bench.sent)
        assert not await bench.carrier.deliver([(Register("t-2", 3), [("t-2-0", b"{}")])])
        await asyncio.sleep(0.05)
        assert Counter(bench.sent[sent:]) <= Counter(["t-2-0"])  # what is fresh was let through
        assert bench.carrier.open <= 1


@pytest.mark.anyio
async def test_while_effects_are_kept_back_what_is_fresh_is_carried_out() -> None:
    async with Bench(lambda key, nth: Carried()).running() as bench:
        bench.keeps_back = True
        registers = await bench.deliver("t-0", "t-1")
    assert [register.open for register in registers] == [0, 0]


@pytest.mark.anyio
async def test_what_is_on_its_way_is_not_given_back() -> None:
    """Given back it would be sent again at once: two with one key at a time."""
    answered = asyncio.Event()

    class Sink:
        async def send_all(self, effects: Any) -> list[Outcome]:
            await answered.wait()
            return [Carried() for _ in effects]

    told = list[str]()

    async def settled(register: Register) -> None:
        told.append(register.task)

    ties = Ties(
        record=lambda op, kind, **facts: None, counters=Counter(), settled=settled, keeps_back=lambda: True
    )
    carrier = Each(Sink(), ties, together=1)
    running = asyncio.ensure_future(carrier.run())
    assert await carrier.deliver([(Register("t", 1), [("t-0", b"{}")])])
    assert not carrier.recall()
    answered.set()

    async def look() -> list[str]:
        return told

    assert await wait_until(look, bool, timeout_s=30, what="its end") == ["t"]
    running.cancel()
    await asyncio.wait({running})


@pytest.mark.anyio
@pytest.mark.parametrize("body", [b"{oops", b"", b"{} {}"])
async def test_what_is_no_json_value_is_not_sent(body: bytes) -> None:
    async with Bench(lambda key, nth: Carried()).running() as bench:
        register = Register("t", 1)
        assert await bench.carrier.deliver([(register, [("t-0", body), ("t-1", b"1")])])
    assert (register.open, bench.sent) == (0, ["t-1"])


@pytest.mark.anyio
async def test_what_is_taken_back_while_a_batch_is_being_told_of_breaks_nothing() -> None:
    """Told of is a message to the broker, and others take back what waits while that is on its way."""
    slow, counters, told = asyncio.Event(), Counter[str](), list[str]()

    class Sink:
        async def send_all(self, effects: Any) -> list[Outcome]:
            await asyncio.sleep(0.4)  # so that all are left behind
            return [Unknown("500") if effect.order_id == "t-1-0" else Carried() for effect in effects]

    async def settled(register: Register) -> None:
        told.append(register.task)
        await slow.wait()

    ties = Ties(record=lambda op, kind, **facts: None, counters=counters, settled=settled)
    carrier = Each(Sink(), ties, together=1, batch=10, pause_first_s=60.0)
    running = asyncio.ensure_future(carrier.run())
    registers = [(Register(f"t-{n}", n), [(f"t-{n}-0", b"{}")]) for n in range(3)]
    assert await carrier.deliver(registers)

    async def begun() -> bool:
        return bool(told)

    await wait_until(begun, bool, timeout_s=30, what="the first to be told of")
    assert {register.task for register in carrier.recall()} == {"t-1"}
    slow.set()

    async def all_told() -> bool:
        return len(told) == 2 or running.done()

    await wait_until(all_told, bool, timeout_s=30, what="both to be told of")
    assert (told, carrier.open, running.done()) == (["t-0", "t-2"], 0, False)
    running.cancel()
    await asyncio.wait({running})
