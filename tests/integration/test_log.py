"""Every record once and in order, whatever breaks the reading."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import Any

import pytest

from squall.bus import log
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection, connect
from squall.bus.errors import ForbiddenError, RequestTimeoutError
from squall.bus.jetstream import call, create_consumer, publish
from squall.bus.messages import CloseJob, RunTask
from squall.bus.pull import Puller
from squall.bus.subjects import POOL

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

GIVE_UP_S = 60.0


async def submit(b: Any, producer: Connection, *numbers: int) -> None:
    for number in numbers:
        task = RunTask(task=f"k-{number}", key="k", job="j")
        outcome = await publish(
            producer, b.swarm.submit("k"), encode(task), message_id=task.task, timeout_s=30
        )
        assert outcome.accepted


async def test_reading_ends_where_it_was_asked_to(bus: Any) -> None:
    async with bus() as b, b.connect("producer") as producer, b.connect("observer") as observer:
        stream = b.swarm.stream("IN")
        async with contextlib.aclosing(log.read(observer, stream, b.swarm.ingress, until=0)) as empty:
            assert [record async for record in empty] == []
        await submit(b, producer, *range(10))
        async with contextlib.aclosing(log.read(observer, stream, b.swarm.ingress, after=3, until=7)) as some:
            assert [record.sequence async for record in some] == [4, 5, 6, 7]


async def test_reading_goes_on_without_gap_or_repeat_over_a_broker_crash(bus: Any) -> None:
    async with bus(alone=True) as b, b.connect("producer") as producer, b.connect("observer") as observer:
        await submit(b, producer, *range(5))
        seen: list[str] = []
        reading = log.read(observer, b.swarm.stream("IN"), b.swarm.ingress)
        async with asyncio.timeout(GIVE_UP_S), contextlib.aclosing(reading) as records:
            async for record in records:
                seen.append(decode(record.data, RunTask).task)
                if len(seen) == 5:
                    os.kill(b.broker.pid, signal.SIGKILL)
                    await submit(b, producer, *range(5, 10))
                if len(seen) == 10:
                    break
        assert seen == [f"k-{number}" for number in range(10)]


async def test_records_that_a_dying_link_took_with_it_are_read_though_no_other_follows(
    bus: Any, relaying: Any
) -> None:
    async with bus() as b, b.connect("producer") as producer, relaying(b.broker.url) as relay:
        credentials = b.authority.credentials("observer", None)
        async with connect(relay.url, "observer", credentials) as observer:
            await submit(b, producer, 0, 1)
            seen: list[str] = []
            reading = log.read(observer, b.swarm.stream("IN"), b.swarm.ingress)
            async with asyncio.timeout(GIVE_UP_S), contextlib.aclosing(reading) as records:
                async for record in records:
                    seen.append(decode(record.data, RunTask).task)
                    if len(seen) == 2:
                        relay.swallows = True
                        await submit(b, producer, *range(2, 10))
                        await relay.until_swallowed(b"k-9", GIVE_UP_S)
                        relay.reset()
                        relay.swallows = False
                    if len(seen) == 10:
                        break
    assert seen == [f"k-{number}" for number in range(10)]
    assert observer.counters["reconnects"] == 1


@pytest.mark.parametrize("status", ["100", "404", "408", "409", "503"])
async def test_a_record_that_looks_like_a_word_of_the_broker_is_read(bus: Any, status: str) -> None:
    """A record's headers are its writer's to choose."""
    headers = {"Status": status, "Description": "Consumer Deleted", "Nats-Pending-Messages": "5"}
    async with bus() as b, b.connect("agent-1") as agent, b.connect("observer") as observer:
        for task in ("t-1", "t-2"):
            await agent.request(b.swarm.register("7", task), b"a register", timeout_s=5, headers=headers)
        seen: list[str] = []
        reading = log.read(observer, b.swarm.stream("RES"), b.swarm.registers)
        async with asyncio.timeout(GIVE_UP_S), contextlib.aclosing(reading) as records:
            async for record in records:
                seen.append(record.subject)
                if len(seen) == 2:
                    break
        await agent.request(b.swarm.tried(POOL, "7", "t-1"), b"a mark", timeout_s=5, headers=headers)
        mark = await log.direct(agent, b.swarm.stream("TRY"), b.swarm.tried(POOL, "7", "t-1"))
        none = await log.direct(agent, b.swarm.stream("TRY"), b.swarm.tried(POOL, "7", "t-2"))
    assert seen == [b.swarm.register("7", "t-1"), b.swarm.register("7", "t-2")]
    assert observer.counters["unasked"] == 0
    assert (mark.data if mark else None, none) == (b"a mark", None)


async def test_trimming_removes_what_lies_below_and_nothing_else(bus: Any) -> None:
    async with bus() as b, b.connect("producer") as producer, b.connect("coordinator-1") as coordinator:
        await submit(b, producer, *range(10))
        stream = b.swarm.stream("IN")
        await log.trim(coordinator, stream, below=8)
        state = await log.state(coordinator, stream)
        assert (state["first_seq"], state["messages"]) == (8, 3)


async def test_a_stream_is_as_full_as_the_bound_that_it_nears_most(bus: Any) -> None:
    async with (
        bus(ingress_max=200) as b,
        b.connect("producer") as producer,
        b.connect("observer") as observer,
    ):
        stream = b.swarm.stream("IN")
        assert await log.fullness(observer, stream) == 0.0
        await submit(b, producer, *range(50))
        assert await log.fullness(observer, stream) == 50 / 200  # of the messages
        async with b.connect("agent-1") as agent:
            await agent.request(b.swarm.register("7", "t"), b"x" * 100_000, timeout_s=5)
        registers = b.swarm.stream("RES")
        size = (await log.state(observer, registers))["bytes"]
        assert await log.fullness(observer, registers) == size / 1024**3 > 0


async def test_a_subject_without_record_has_no_last(bus: Any) -> None:
    async with bus() as b, b.connect("observer") as observer:
        assert await log.last(observer, b.swarm.stream("JOB"), b.swarm.coordinator_seat.snapshot) is None


async def test_two_readers_on_one_connection_hear_only_what_is_theirs(bus: Any) -> None:
    async with (
        bus() as b,
        b.connect("producer") as producer,
        b.connect("agent-1") as agent,
        b.connect("observer") as observer,
    ):
        await submit(b, producer, *range(20))
        for number in range(20):
            await agent.request(b.swarm.register("7", f"t-{number}"), b"a register", timeout_s=5)

        async def read_all(plane: str, subject: str) -> list[int]:
            reading = log.read(observer, b.swarm.stream(plane), subject, until=20)
            async with contextlib.aclosing(reading) as records:
                return [record.sequence async for record in records]

        both = await asyncio.gather(read_all("IN", b.swarm.ingress), read_all("RES", b.swarm.registers))
        assert both == [list(range(1, 21))] * 2
        assert observer.counters["unasked"] == 0


async def test_a_reader_has_one_consumer_named_after_it_however_often_it_reads(bus: Any) -> None:
    async with bus() as b, b.connect("producer") as producer, b.connect("observer") as observer:
        await submit(b, producer, *range(3))
        stream, ingress = b.swarm.stream("IN"), b.swarm.ingress
        # As a process that died leaves it behind.
        left = {"ack_policy": "none", "filter_subject": ingress}
        await create_consumer(observer, stream, "observer", left)
        async with contextlib.aclosing(log.read(observer, stream, ingress, after=1)) as records:
            assert (await anext(records)).sequence == 2
            told = await call(observer, "CONSUMER", "INFO", stream, "observer")
            assert told["config"]["opt_start_seq"] == 2
            consumers = await call(observer, "STREAM", "INFO", stream)
            assert consumers["state"]["consumer_count"] == 1


async def test_a_reader_with_an_end_yields_nothing_beyond_it(bus: Any) -> None:
    async with bus() as b, b.connect("producer") as producer, b.connect("observer") as observer:
        await submit(b, producer, 0)
        await publish(producer, b.swarm.close("j"), encode(CloseJob(job="j")), timeout_s=10)
        await submit(b, producer, 1)
        reading = log.read(observer, b.swarm.stream("IN"), b.swarm.submissions, until=2)
        async with asyncio.timeout(GIVE_UP_S), contextlib.aclosing(reading) as records:
            assert [record.sequence async for record in records] == [1]


async def test_a_reader_whose_consumer_lags_waits_for_what_the_streams_leader_has(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer on a replica that lags knows of no more; a read barrier must not end there."""
    make, lags = log._make_consumer, asyncio.Event()

    async def made_by_a_replica_that_lags(*args: Any) -> int:
        await make(*args)
        lags.set()
        return 0

    async def never_sent(self: Any) -> None:
        await caught_up.wait()
        await run(self)

    run, caught_up = Puller.run, asyncio.Event()
    monkeypatch.setattr(log, "_make_consumer", made_by_a_replica_that_lags)
    monkeypatch.setattr(Puller, "run", never_sent)
    async with bus() as b, b.connect("producer") as producer, b.connect("observer") as observer:
        await submit(b, producer, *range(5))

        async def read_all() -> list[int]:
            reading = log.read(observer, b.swarm.stream("IN"), b.swarm.ingress, until=5)
            async with contextlib.aclosing(reading) as records:
                return [record.sequence async for record in records]

        reading = asyncio.create_task(read_all())
        await lags.wait()
        done, _ = await asyncio.wait({reading}, timeout=3 * log.LAG_S)
        assert not done
        caught_up.set()
        async with asyncio.timeout(GIVE_UP_S):
            assert await reading == [1, 2, 3, 4, 5]


async def test_a_reader_that_may_not_ask_what_is_newest_ends_and_does_not_ask_for_ever(bus: Any) -> None:
    async with bus() as b, b.connect("coordinator-1") as coordinator:
        reading = log.read(coordinator, b.swarm.stream("IN"), b.swarm.ingress, until=1)
        async with asyncio.timeout(GIVE_UP_S), contextlib.aclosing(reading) as records:
            with pytest.raises(ForbiddenError):
                await anext(records)


async def test_a_reader_whose_question_for_the_newest_is_not_answered_asks_again(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, asked = log.last, 0

    async def late(connection: Connection, stream: str, subject: str, **how: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise RequestTimeoutError(subject, "no answer")
        return await last(connection, stream, subject, **how)

    async with bus() as b, b.connect("observer") as observer:
        monkeypatch.setattr(log, "last", late)
        reading = log.read(observer, b.swarm.stream("IN"), b.swarm.ingress, until=1)
        async with asyncio.timeout(GIVE_UP_S), contextlib.aclosing(reading) as records:
            assert [record async for record in records] == []
    assert asked == 2
