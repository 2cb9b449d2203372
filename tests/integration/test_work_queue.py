"""Every task is tried until its register is written."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace
from tests.integration.working import (
    FAST,
    GIVE_UP_S,
    Seen,
    dispatch,
    emptied,
    queue_of,
    registered,
    succeed,
    worker,
)

from squall.bus import log
from squall.bus.absence import BASE_S
from squall.bus.codec import MESSAGE_BYTES_MAX, encode
from squall.bus.ended import Done, Ended, Failed, NotThere
from squall.bus.jetstream import call
from squall.bus.messages import Address, RunTask
from squall.bus.pull import Delivery
from squall.bus.subjects import POOL
from squall.bus.tasks import task_group, wait_until
from squall.bus.work_queue import WorkQueue

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


async def test_a_task_is_run_committed_and_acknowledged_once(bus: Any) -> None:
    seen = Seen()
    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, succeed, seen):
        await dispatch(b, "t1", "t2")
        result = await registered(b, observer, "t1")
        await emptied(b, observer)
    assert (result.status, result.agent, result.attempt) == ("ok", "agent-1", 1)
    assert result.effects == (b"t1",)
    assert (seen.runs("t1"), seen.runs("t2")) == ([1], [1])


async def test_work_longer_than_the_ack_wait_is_not_given_away(bus: Any) -> None:
    seen, started, go = Seen(), asyncio.Event(), asyncio.Event()

    async def slow(task: RunTask, attempt: int) -> Done:
        started.set()
        await go.wait()
        return Done()

    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, slow, seen):
        await dispatch(b, "t")
        await started.wait()
        async with worker(b, succeed, seen, "agent-2"):
            loop = asyncio.get_running_loop()
            begun = loop.time()

            async def waited() -> float:
                return loop.time() - begun

            # Three ack waits pass while the other worker's requests are open.
            await wait_until(waited, lambda s: s > 3 * b.spec.ack_wait_s, timeout_s=30, what="time")
            go.set()
            result = await registered(b, observer, "t")
    assert (result.agent, result.attempt, seen.runs("t")) == ("agent-1", 1, [1])


async def test_a_failing_task_is_dead_after_its_attempts_and_says_why(bus: Any) -> None:
    seen = Seen()

    async def fail(task: RunTask, attempt: int) -> Failed:
        return Failed(f"no luck in attempt {attempt}")

    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, fail, seen):
        await dispatch(b, "t")
        result = await registered(b, observer, "t")
        await emptied(b, observer)
    assert (result.status, result.reason) == ("dead", "no luck in attempt 3")
    assert seen.runs("t") == [1, 2, 3]


async def test_a_final_failure_is_not_tried_again(bus: Any) -> None:
    seen = Seen()

    async def give_up(task: RunTask, attempt: int) -> Failed:
        return Failed("poison", final=True)

    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, give_up, seen):
        await dispatch(b, "t")
        assert (await registered(b, observer, "t")).status == "dead"
    assert seen.runs("t") == [1]


async def test_what_another_may_have_begun_is_no_first_attempt(bus: Any) -> None:
    """Or what kills whoever works on it would have all its attempts at each of them."""
    seen = Seen()
    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, succeed, seen):
        await dispatch(b, "waited", address=Address(moved=1))
        await dispatch(b, "begun", address=Address(moved=1, tried=True))
        assert (await registered(b, observer, "waited")).attempt == 1
        assert (await registered(b, observer, "begun")).attempt == 2


async def test_a_hedge_is_an_attempt_of_its_own_and_the_first_to_write_wins(bus: Any) -> None:
    seen, begun, go = Seen(), asyncio.Event(), asyncio.Event()

    async def first_hangs(task: RunTask, attempt: int) -> Done:
        if attempt == 1:
            begun.set()
            await go.wait()
        return Done((b"attempt %d" % attempt,))

    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, first_hangs, seen):
        await dispatch(b, "t")
        await begun.wait()
        await dispatch(b, "t", address=Address(moved=1, hedge=True))
        result = await registered(b, observer, "t")
        go.set()
        await emptied(b, observer)
    assert (result.attempt, result.hedge, result.effects) == (2, True, (b"attempt 2",))
    assert seen.runs("t") == [1, 2]
    assert seen.commits("ok") == ["t"]
    assert seen.commits("fail") == ["t"]  # the one that came second is told of


async def test_what_is_no_task_ends_as_dead(bus: Any) -> None:
    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, succeed, Seen()):
        await dispatch(b, "t", data=b"\xc1 not a task")
        result = await registered(b, observer, "t")
        assert result.status == "dead"
        assert "not a RunTask" in result.reason


async def test_a_task_that_lies_where_another_should_ends_neither_but_its_place(bus: Any) -> None:
    seen = Seen()
    other = encode(RunTask(task="other", key="k", job="j"))
    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, succeed, seen):
        await dispatch(b, "t", data=other)
        result = await registered(b, observer, "t")
        await emptied(b, observer)
        registers = await log.state(observer, b.swarm.stream("RES"))
    assert (result.status, result.reason) == ("dead", "task other lies where t should")
    assert (seen.runs("other"), registers["messages"]) == ([], 1)


async def test_a_result_beyond_the_bound_ends_as_dead_and_says_so(bus: Any) -> None:
    async def much(task: RunTask, attempt: int) -> Done:
        return Done(value=b"x" * MESSAGE_BYTES_MAX)

    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, much, Seen()):
        await dispatch(b, "t")
        result = await registered(b, observer, "t")
        assert result.status == "dead"
        assert "too large" in result.reason


async def test_no_more_is_taken_than_there_are_slots(bus: Any) -> None:
    running, most = 0, 0
    release = asyncio.Event()

    async def count(task: RunTask, attempt: int) -> Done:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        return Done()

    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, count, Seen()):
        await dispatch(b, *(f"t{n}" for n in range(6)))

        async def full() -> int:
            return running

        await wait_until(full, lambda n: n == 2, timeout_s=10, what="both slots to be taken")
        release.set()
        await emptied(b, observer)
    assert most == 2


async def test_what_is_delivered_beyond_the_slots_waits_for_one(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker whose loop stood still asks again while what it asked for before is on its way."""
    running, most = 0, 0
    release = asyncio.Event()
    monkeypatch.setattr(WorkQueue, "_room", lambda self: 8)

    async def count(task: RunTask, attempt: int) -> Done:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        return Done()

    async with bus(**FAST) as b, b.connect("observer") as observer, b.connect("agent-1") as agent:
        queue = queue_of(b, agent, count, Seen())

        async def held() -> int:
            return queue.in_flight

        async with task_group() as tasks:
            tasks.daemon(queue.serve(asyncio.Event(), grace_s=1))
            await dispatch(b, *(f"t{n}" for n in range(8)))
            await wait_until(held, lambda n: n == 8, timeout_s=10, what="all to be delivered")
            release.set()
            await emptied(b, observer)
    assert most == 2


async def test_a_result_that_no_reader_could_read_ends_as_dead_and_says_so(bus: Any) -> None:
    seen = Seen()

    async def wrong(task: RunTask, attempt: int) -> Done:
        return Done((), value="text")  # type: ignore[arg-type]

    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, wrong, seen):
        await dispatch(b, "t")
        result = await registered(b, observer, "t")
    assert result.status == "dead"
    assert "Expected `bytes`, got `str`" in result.reason


async def test_a_pattern_has_the_last_word_on_a_result(bus: Any) -> None:
    async with bus(**FAST) as b, b.connect("observer") as observer, b.connect("agent-1") as connection:
        queue = queue_of(b, connection, succeed, Seen(), complete=lambda r: replace(r, reduce_only=True))
        async with task_group() as tasks:
            tasks.daemon(queue.serve(asyncio.Event(), grace_s=1))
            await dispatch(b, "t")
            assert (await registered(b, observer, "t")).reduce_only


def twice(handler: Callable[[Any], None], message: Any) -> None:
    handler(message)
    handler(message)


async def test_a_delivery_that_comes_twice_while_it_is_worked_on_is_begun_once(bus: Any) -> None:
    """Two attempts of one delivery would pass the slots, and the attempts that a task is to have."""
    async with bus(**FAST) as b, b.connect("observer") as observer, b.connect("agent-1") as connection:
        connection.interceptor, seen = twice, Seen()
        async with task_group() as tasks:
            tasks.daemon(queue_of(b, connection, succeed, seen).serve(asyncio.Event(), grace_s=1))
            await dispatch(b, "t")
            await registered(b, observer, "t")
            await emptied(b, observer)
    assert (seen.runs("t"), seen.commits("ok"), seen.commits("fail")) == ([1], ["t"], [])


async def test_a_delivery_that_comes_twice_is_no_reason_to_ask_for_more_than_there_is_room_for(
    bus: Any,
) -> None:
    async def hang(task: RunTask, attempt: int) -> Done:
        await asyncio.Event().wait()
        raise AssertionError

    async with bus(**FAST) as b, b.connect("observer") as observer, b.connect("agent-1") as connection:
        connection.interceptor = twice
        queue = queue_of(b, connection, hang, Seen())

        async def held() -> int:
            info = await call(observer, "CONSUMER", "INFO", b.swarm.stream("WK"), POOL)
            return int(info["num_ack_pending"])

        async with task_group() as tasks:
            tasks.daemon(queue.serve(asyncio.Event(), grace_s=1))
            await dispatch(b, "first")
            await wait_until(held, lambda count: count == 1, timeout_s=GIVE_UP_S, what="the first")
            await dispatch(b, *(f"t{n}" for n in range(6)))
            await wait_until(held, lambda count: count >= 2, timeout_s=GIVE_UP_S, what="the second")
            stored = functools.partial(log.state, observer, b.swarm.stream("WK"))
            await wait_until(stored, lambda at: at["messages"] == 7, timeout_s=GIVE_UP_S, what="the others")
            assert await held() == 2, "there are two slots"


async def test_a_task_that_nobody_was_there_for_keeps_its_attempts_and_is_done_elsewhere(bus: Any) -> None:
    """More often than it has attempts, and before, between and after attempts that failed."""
    seen = Seen()
    answers: list[Ended] = [*[NotThere("away")] * 4, Failed("no"), NotThere("away"), Failed("no"), Done()]

    async def comes_and_goes(task: RunTask, attempt: int) -> Ended:
        return answers.pop(0)

    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, comes_and_goes, seen):
        await dispatch(b, "t")
        result = await registered(b, observer, "t")
        await emptied(b, observer)
    assert (result.status, result.attempt) == ("ok", 3)
    missed = sum(op == "absent" for op, _, _ in seen.lines)
    assert (missed, seen.runs("t")) == (5, [1, 1, 1, 1, 1, 2, 2, 3])


async def test_a_worker_whose_handler_is_away_leaves_the_tasks_to_the_others(bus: Any) -> None:
    seen, away = Seen(), Seen()

    async def absent(task: RunTask, attempt: int) -> Ended:
        return NotThere("away")

    tasks = [f"t{number}" for number in range(20)]
    async with (
        bus(**FAST) as b,
        b.connect("observer") as observer,
        worker(b, absent, away, "agent-1"),
        worker(b, succeed, seen, "agent-2"),
    ):
        await dispatch(b, *tasks)
        results = [await registered(b, observer, task) for task in tasks]
        await emptied(b, observer)
    assert {(result.status, result.attempt, result.agent) for result in results} == {("ok", 1, "agent-2")}


async def test_a_worker_whose_handler_is_away_looks_for_it_ever_more_rarely(bus: Any) -> None:
    looked_s: list[float] = []

    async def absent(task: RunTask, attempt: int) -> Ended:
        looked_s.append(time.monotonic())
        return NotThere("away")

    async with bus(**FAST) as b, worker(b, absent, Seen()):
        await dispatch(b, *(f"t{number}" for number in range(8)))

        async def looked() -> int:
            return len(looked_s)

        # As many as there are slots at once, then one after each pause.
        await wait_until(looked, lambda times: times >= 2 + 3, timeout_s=GIVE_UP_S, what="looks")
    assert looked_s[4] - looked_s[0] >= 2 * BASE_S + 4 * BASE_S + 8 * BASE_S


class Later:
    """A turn that has come when it is asked for the third time."""

    def __init__(self) -> None:
        self._asked = 0

    def enter(self, delivery: Delivery) -> None:
        """Nothing depends on what else is in hand."""

    leave = enter

    async def wait(self, delivery: Delivery) -> float:
        self._asked += 1
        return 0.05 if self._asked < 3 else 0.0


async def test_what_came_before_its_turn_was_no_attempt(bus: Any) -> None:
    seen = Seen()
    async with (
        bus(**FAST) as b,
        b.connect("observer") as observer,
        b.connect("agent-1") as connection,
        task_group() as tasks,
    ):
        queue = queue_of(b, connection, succeed, seen, turns=Later())
        tasks.daemon(queue.serve(asyncio.Event(), grace_s=1))
        await dispatch(b, "t")
        result = await registered(b, observer, "t")
    assert queue.counters["out_of_turn"] == 2
    assert (result.attempt, seen.runs("t")) == (1, [1])
