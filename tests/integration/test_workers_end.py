"""A worker may die between any two steps, or be stopped: its tasks are tried elsewhere."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.integration.working import (
    FAST,
    GIVE_UP_S,
    Seen,
    dispatch,
    emptied,
    queue_of,
    registered,
    serve,
    succeed,
    worker,
)

from squall.bus import log, pull, register
from squall.bus.codec import encode
from squall.bus.ended import WORKERS_DIED, Done, Failed
from squall.bus.errors import ConnectionLostError
from squall.bus.jetstream import publish
from squall.bus.messages import RunTask, TaskTried
from squall.bus.subjects import POOL, lane_for
from squall.bus.tasks import task_group, wait_until
from squall.services.patterns import hierarchical

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


async def test_a_worker_that_dies_while_it_computes_is_replaced(bus: Any) -> None:
    seen, started = Seen(), asyncio.Event()

    async def hang(task: RunTask, attempt: int) -> Done:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, hang, seen) as first:
        await dispatch(b, "t")
        await started.wait()
        first.cancel()
        async with worker(b, succeed, seen, "agent-2"):
            result = await registered(b, observer, "t")
            await emptied(b, observer)
    assert (result.agent, result.attempt) == ("agent-2", 2)


async def test_a_task_that_ends_every_worker_is_buried_though_the_pool_is_made_anew_each_time(
    bus: Any,
) -> None:
    """Which it is when all workers stand still; the broker's own count begins anew with the pool."""
    seen, lives = Seen(), 0

    async with bus(**FAST) as b, b.connect("observer") as observer, b.connect("warden") as warden:
        await dispatch(b, "t")
        burying = asyncio.create_task(registered(b, observer, "t"))
        while not burying.done():
            lives += 1
            assert lives <= 6, seen.runs("t")
            stands_still = asyncio.Event()

            async def hang(task: RunTask, attempt: int, told: asyncio.Event = stands_still) -> Done:
                told.set()
                await asyncio.Event().wait()
                raise AssertionError

            async with worker(b, hang, seen, f"agent-{lives % 2 + 1}") as life:
                standing = asyncio.create_task(stands_still.wait())
                await asyncio.wait({standing, burying}, return_when=asyncio.FIRST_COMPLETED)
                standing.cancel()
                life.cancel()
            await hierarchical.consumers(b.spec, b.authority.topology)[0].recreate(warden)
        result = await burying
    assert (result.status, result.reason) == ("dead", WORKERS_DIED)
    # The first is uncounted where the worker was there before the task.
    assert seen.runs("t")[-3:] == [1, 2, 3]


async def test_a_worker_that_dies_between_commit_and_acknowledgement_leaves_one_record(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, committed = Seen(), asyncio.Event()
    write = register.write

    async def write_and_die(*args: Any, **kwargs: Any) -> Any:
        written = await write(*args, **kwargs)
        monkeypatch.setattr(register, "write", write)
        committed.set()
        await asyncio.Event().wait()
        return written

    async with bus(**FAST) as b, b.connect("observer") as observer:
        monkeypatch.setattr(register, "write", write_and_die)
        async with worker(b, succeed, seen) as first:
            await dispatch(b, "t")
            await committed.wait()
            first.cancel()
            async with worker(b, succeed, seen, "agent-2"):
                await emptied(b, observer)
        result = await registered(b, observer, "t")
        state = await log.state(observer, b.swarm.stream("RES"))
    assert (result.agent, state["messages"]) == ("agent-1", 1)
    assert seen.commits("fail") == ["t"]


async def test_a_zombie_that_wakes_after_another_committed_is_suppressed(bus: Any) -> None:
    seen = Seen()
    wake, started = asyncio.Event(), asyncio.Event()

    async def sleep(task: RunTask, attempt: int) -> Done:
        started.set()
        await wake.wait()
        return Done((b"of-the-zombie",))

    async with bus(**FAST) as b, b.connect("observer") as observer:
        async with b.connect("agent-1") as connection, task_group() as tasks:
            zombie = queue_of(b, connection, sleep, seen)
            zombie._keep_alive = asyncio.Event().wait  # type: ignore[method-assign, assignment]
            tasks.daemon(zombie.serve(asyncio.Event(), grace_s=1))
            await dispatch(b, "t")
            await started.wait()
            async with worker(b, succeed, Seen(), "agent-2"):
                result = await registered(b, observer, "t")
                wake.set()

                async def suppressed() -> list[str]:
                    return seen.commits("fail")

                await wait_until(suppressed, bool, timeout_s=GIVE_UP_S, what="the zombie's commit")
        assert (result.agent, result.effects) == ("agent-2", (b"t",))
        assert await registered(b, observer, "t") == result


async def test_a_task_that_kills_its_workers_is_dead_after_exactly_its_attempts(bus: Any) -> None:
    seen = Seen()

    async with bus(**FAST) as b, b.connect("observer") as observer:
        await dispatch(b, "t")
        for attempt in range(1, b.spec.attempts + 1):
            started = asyncio.Event()

            async def die(task: RunTask, attempt: int, started: asyncio.Event = started) -> Done:
                started.set()
                await asyncio.Event().wait()
                raise AssertionError

            async with worker(b, die, seen) as dying:
                await started.wait()
                dying.cancel()
            assert seen.runs("t") == list(range(1, attempt + 1))
        async with worker(b, succeed, seen):
            result = await registered(b, observer, "t")
    assert result.status == "dead"
    assert seen.runs("t") == [1, 2, 3]


@pytest.mark.parametrize(
    "mark",
    [b"", b"\xc1 no mark", encode(TaskTried(attempts=1))[:-3]],
    ids=["empty", "no msgpack", "cut off"],
)
async def test_a_mark_that_cannot_be_read_counts_as_none_once_and_is_written_over(
    bus: Any, mark: bytes
) -> None:
    """An agent may write marks. What it spoils costs the task no attempt that it has not had, and no more."""
    seen = Seen()

    async def fail(task: RunTask, attempt: int) -> Failed:
        return Failed("no luck")

    async with bus(**FAST) as b, b.connect("observer") as observer, b.connect("agent-2") as hijacked:
        await publish(hijacked, b.swarm.tried(POOL, lane_for("k"), "t"), mark, timeout_s=5)
        async with worker(b, fail, seen):
            await dispatch(b, "t")
            result = await registered(b, observer, "t")
    assert (result.status, seen.runs("t")) == ("dead", [1, 2, 3])


async def test_a_task_that_fails_in_good_order_is_no_suspect(bus: Any) -> None:
    closed: list[bool] = []

    async def fail(task: RunTask, attempt: int) -> Failed:
        closed.append(queue._quarantine.closed)
        return Failed("no luck")

    async with (
        bus(**FAST) as b,
        b.connect("observer") as observer,
        b.connect("agent-1") as connection,
        task_group() as tasks,
    ):
        queue = queue_of(b, connection, fail, Seen())
        tasks.daemon(queue.serve(asyncio.Event(), grace_s=1))
        await dispatch(b, "t")
        assert (await registered(b, observer, "t")).attempt == 3
    assert closed == [False] * 3


async def test_a_suspect_is_alone_until_its_register_is_written(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What its result does to the process must not look like the next one's doing."""
    seen, started = Seen(), asyncio.Event()
    closed: list[bool] = []
    write = register.write

    async def hang(task: RunTask, attempt: int) -> Done:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with bus(**{**FAST, "attempts": 2}) as b, b.connect("observer") as observer:
        await dispatch(b, "t")
        async with worker(b, hang, seen) as first:
            await started.wait()
            first.cancel()
        async with b.connect("agent-2") as connection, task_group() as tasks:
            queue = queue_of(b, connection, succeed, seen)

            async def write_and_look(*args: Any, **kwargs: Any) -> Any:
                closed.append(queue._quarantine.closed)
                return await write(*args, **kwargs)

            monkeypatch.setattr(register, "write", write_and_look)
            tasks.daemon(queue.serve(asyncio.Event(), grace_s=1))
            assert (await registered(b, observer, "t")).attempt == 2
            await emptied(b, observer)
    assert closed == [True]


async def test_a_defect_of_what_makes_the_attempts_ends_the_worker_and_costs_its_task_one_attempt(
    bus: Any,
) -> None:
    """A handler's own errors are outcomes; see `handlers/python.py`."""

    async def defect(task: RunTask, attempt: int) -> Done:
        raise LookupError("ours")

    async with bus(**FAST) as b, b.connect("observer") as observer:
        await dispatch(b, "t")
        async with b.connect("agent-1") as connection:
            with pytest.raises(LookupError):
                await serve(b, connection, defect, Seen())
        async with worker(b, succeed, Seen(), "agent-2"):
            result = await registered(b, observer, "t")
    assert (result.status, result.attempt) == ("ok", 2)


async def test_a_worker_that_holds_takes_nothing_and_goes_on_with_what_arrived_meanwhile(bus: Any) -> None:
    seen = Seen()
    async with (
        bus(**FAST) as b,
        b.connect("observer") as observer,
        b.connect("agent-1") as connection,
        task_group() as tasks,
    ):
        queue = queue_of(b, connection, succeed, seen)
        tasks.daemon(queue.serve(asyncio.Event(), grace_s=1))
        await dispatch(b, "before")
        await registered(b, observer, "before")
        queue.hold(True)
        await dispatch(b, "t1", "t2", "t3")

        async def waiting() -> int:
            return queue.in_flight

        # What was asked for before arrives, is kept from being given to another, and does not begin.
        await wait_until(waiting, bool, timeout_s=GIVE_UP_S, what="what was asked for")
        assert [seen.runs(task) for task in ("t1", "t2", "t3")] == [[], [], []]
        queue.hold(False)
        await emptied(b, observer)
    assert (seen.runs("t1"), seen.runs("t2"), seen.runs("t3")) == ([1], [1], [1])


@pytest.mark.parametrize("word", [b"+WPI", b"-NAK"])
async def test_a_word_to_the_broker_that_cannot_be_sent_costs_a_delivery_at_most(
    bus: Any, monkeypatch: pytest.MonkeyPatch, word: bytes
) -> None:
    """The worker goes on, and what the broker did not hear of is delivered again after its ack wait."""
    seen, lost = Seen(), 0

    async def fails_once(task: RunTask, attempt: int) -> Done | Failed:
        if attempt > 1:
            return Done(())
        await asyncio.sleep(FAST["ack_wait_s"] / 2)
        return Failed("as told")

    async with (
        bus(**FAST) as b,
        b.connect("observer") as observer,
        b.connect("agent-1") as connection,
        task_group() as tasks,
    ):
        publish = connection.publish

        async def lossy(subject: str, data: bytes, **how: Any) -> None:
            nonlocal lost
            if data.startswith(word) and not lost:
                lost += 1
                raise ConnectionLostError(subject, "the connection was lost")
            await publish(subject, data, **how)

        monkeypatch.setattr(connection, "publish", lossy)
        tasks.daemon(serve(b, connection, fails_once, seen))
        await dispatch(b, "t")
        result = await registered(b, observer, "t")
        await emptied(b, observer)
    assert (lost, result.status, seen.runs("t")) == (1, "ok", [1, 2])


async def test_a_result_of_which_it_is_not_known_that_it_was_stored_is_not_acknowledged(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, lost = register.write, 0

    async def not_stored(*what: Any, **how: Any) -> Any:
        nonlocal lost
        if not lost:
            lost += 1
            return "unknown", "no answer"
        return await write(*what, **how)

    seen = Seen()
    async with bus(**FAST) as b, b.connect("observer") as observer, worker(b, succeed, seen):
        monkeypatch.setattr(register, "write", not_stored)
        await dispatch(b, "t")
        assert (await registered(b, observer, "t")).status == "ok"
        await emptied(b, observer)
    assert (lost, seen.runs("t")) == (1, [1, 2])


async def test_a_worker_that_goes_on_after_a_hold_looks_for_work_at_once(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pull, "HEARTBEAT_S", GIVE_UP_S)  # after so long it looks by itself
    async with bus(**FAST) as b, b.connect("agent-1") as connection, task_group() as tasks:
        queue = queue_of(b, connection, succeed, Seen())
        looks: asyncio.Queue[None] = asyncio.Queue()

        def look() -> int:
            looks.put_nowait(None)
            return 0  # as if it had no room, so that no request of it is open at the broker

        monkeypatch.setattr(queue, "_room", look)
        queue.hold(True)
        tasks.daemon(queue.serve(asyncio.Event(), grace_s=1))
        await looks.get()
        queue.hold(False)
        async with asyncio.timeout(GIVE_UP_S / 2):
            await looks.get()


async def test_a_worker_that_is_stopped_while_it_holds_gives_back_what_waits(bus: Any) -> None:
    stop = asyncio.Event()
    slow = {**FAST, "ack_wait_s": 20.0}
    async with bus(**slow) as b, b.connect("observer") as observer, b.connect("agent-1") as connection:
        seen = Seen()
        queue = queue_of(b, connection, succeed, seen)
        async with task_group() as tasks:
            serving = tasks.start(queue.serve(stop, grace_s=5))
            await dispatch(b, "before")
            await registered(b, observer, "before")
            queue.hold(True)
            await dispatch(b, "t")

            async def waiting() -> int:
                return queue.in_flight

            await wait_until(waiting, bool, timeout_s=GIVE_UP_S, what="the task")
            stop.set()
            await serving
        assert seen.runs("t") == []
        async with asyncio.timeout(slow["ack_wait_s"] / 2), worker(b, succeed, seen, "agent-2"):
            assert (await registered(b, observer, "t")).agent == "agent-2"


async def test_a_worker_that_is_stopped_tells_of_what_it_does_not_finish(bus: Any) -> None:
    seen, stop, started = Seen(), asyncio.Event(), asyncio.Event()

    async def hang(task: RunTask, attempt: int) -> Done:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with bus(**FAST) as b, b.connect("agent-1") as connection:
        queue = queue_of(b, connection, hang, seen)
        async with task_group() as tasks:
            serving = tasks.start(queue.serve(stop, grace_s=0.2))
            await dispatch(b, "t")
            await started.wait()
            stop.set()
            await serving
    told = [(op, kind, facts["task"]) for op, kind, facts in seen.lines]
    assert told == [("run", "invoke", "t"), ("attempt", "unknown", "t")]
    assert queue.counters["abandoned"] == 1
