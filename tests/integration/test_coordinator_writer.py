"""What a coordinator stores, removes, and leaves to its successor."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from typing import Any

import pytest
from tests.integration.led import PATIENT_S, leading

from squall.bus import jetstream, log
from squall.bus.codec import SUBMISSION_BYTES_MAX, decode, encode
from squall.bus.connection import Connection
from squall.bus.errors import RequestError
from squall.bus.jetstream import EXPECT_NEW, Entry, Outcome, publish, publish_batch
from squall.bus.messages import (
    CoordinatorState,
    DeadLetter,
    JobProgress,
    RunTask,
    TaskResult,
)
from squall.bus.subjects import last_token, matches
from squall.bus.tasks import wait_until
from squall.services.patterns import hierarchical
from squall.services.roles import coordinator
from squall.services.roles.job_writer import JobWriter

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


async def test_dead_letters_of_full_size_do_not_stay_in_the_stream_of_the_term(swarm: Any) -> None:
    body = b"x" * (SUBMISSION_BYTES_MAX - 200)
    async with swarm() as s:
        for number in range(30):
            assert (await s.submit(f"t-{number}", body=body)).accepted
            await s.finish(await s.pull(), status="dead")
        await s.close()
        state = await s.done()
        letters = await s.letters(30)
        log_state = await wait_until(
            lambda: log.state(s.observer, s.names.stream("JOB")),
            lambda state: state["bytes"] < 4 * len(body),
            timeout_s=PATIENT_S,
            what="the trim of the letters",
        )
    assert state.jobs["j"].dead == 30
    assert {letter.task.body for letter in letters} == {body}
    assert log_state["messages"] < 30


async def test_a_snapshot_waits_for_the_dead_letters_of_all_registers_that_it_passes(
    swarm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A successor reads no register anew that a snapshot has passed, so their letters would be lost."""
    store, told = JobWriter.store, list[tuple[int, bool, int]]()

    async def counted(self: JobWriter, tasks: Any, letters: Any, finished: Any, **how: Any) -> bool:
        written = sum(count for count, _, _ in told) + len(letters)
        dead = sum(job.dead for job in self._progress.jobs.values())
        told.append((len(letters), how["snapshot"], dead - written))
        return await store(self, tasks, letters, finished, **how)

    body = b"x" * (SUBMISSION_BYTES_MAX - 200)
    async with swarm() as s:
        monkeypatch.setattr(JobWriter, "store", counted)
        for number in range(8):
            assert (await s.submit(f"t-{number}", body=body)).accepted
        deliveries = [await s.pull() for _ in range(8)]
        await asyncio.gather(*(s.finish(delivery, status="dead") for delivery in deliveries))
        await s.close()
        await s.done()
        await s.letters(8)
    assert any(missing for _, _, missing in told), "all letters went into one batch, so nothing was shown"
    assert [missing for _, snapshot, missing in told if snapshot and missing] == []


async def test_a_successor_knows_what_is_open(swarm: Any) -> None:
    """Tasks far back, just dispatched, and dispatched again all end under the next leader."""
    async with swarm() as s:
        for number in range(4):
            await s.submit(f"t-{number}")
        first = [await s.pull() for _ in range(4)]
        await s.acknowledge(first[3])
        for number in range(40):  # so that the first ones are far back
            await s.submit(f"f-{number}")
        while True:
            delivery = await s.pull()
            if last_token(delivery.subject) == "t-3":
                again = delivery
                break
            await s.finish(delivery)
        s.service.stop.set()
        async with leading(s.bus) as second:
            for delivery in (*first[:3], again):
                await s.finish(delivery)
            await s.close()

            async def finish_the_rest() -> None:
                while True:
                    await s.finish(await s.pull())

            finishing = asyncio.ensure_future(finish_the_rest())
            state = await s.done()
            finishing.cancel()
            with contextlib.suppress(asyncio.CancelledError, RequestError, TimeoutError):
                await finishing
    assert (state.jobs["j"].dispatched, state.jobs["j"].ok, state.jobs["j"].dead) == (44, 44, 0)
    assert second.counters["redispatched"] == 0


async def test_a_successor_knows_how_often_a_task_was_dispatched(swarm: Any) -> None:
    async with swarm(attempts=2) as s:
        await s.submit("t")
        await s.acknowledge(await s.pull())
        again = await s.pull()
        await s.until(lambda state: state.dispatched == 2)
        s.service.stop.set()
        async with leading(s.bus) as second:
            await s.acknowledge(again)
            await s.close()
            state = await s.done()
            (letter,) = await s.letters(1)
    assert (state.jobs["j"].dead, state.dispatched) == (1, 2)
    assert letter.reason == "acknowledged without a result 2 times"
    assert second.counters["redispatched"] == 0


async def test_a_batch_whose_answer_is_lost_is_stored_once(
    swarm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each kind there is: a dispatch, one that is made again, a dead letter, a snapshot, the end of a job."""
    lost: set[tuple[Entry, ...]] = set()

    async def losing(connection: Connection, entries: list[Entry], **how: Any) -> Outcome:
        outcome = await publish_batch(connection, entries, **how)
        batch = tuple(entries[1:])  # the first renews the lease, and is another each time
        if batch and how.get("fence") is not None and batch not in lost:
            lost.add(batch)
            return Outcome("unknown", reason="the answer was lost")
        return outcome

    monkeypatch.setattr("squall.bus.term.publish_batch", losing)
    async with swarm() as s:
        await s.submit("t")
        await s.close()
        await s.acknowledge(await s.pull())
        await s.finish(await s.pull(), status="dead")
        state = await s.done()
        await s.letters(1)
        queue = await log.state(s.observer, s.names.stream("WK"))
        letters = await log.state(s.observer, s.names.stream("DLQ"))
    assert (state.jobs["j"].dispatched, state.jobs["j"].dead, state.dispatched) == (1, 1, 2)
    assert (queue["last_seq"], letters["last_seq"]) == (2, 1)
    assert any(entry.expected for batch in lost for entry in batch if s.names.is_dispatch(entry.subject))


async def test_a_leader_that_dies_between_two_letters_leaves_neither_unwritten(
    swarm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A snapshot passes the registers that were read, so it waits for the letters of all of them."""
    monkeypatch.setattr(coordinator, "BATCH_MAX", 1)
    store, dying = JobWriter.store, asyncio.Event()

    async def store_and_die(self: JobWriter, tasks: Any, letters: Any, *args: Any, **how: Any) -> bool:
        saved = await store(self, tasks, letters, *args, **how)
        if letters:
            dying.set()
            await asyncio.Event().wait()
        return saved

    async with swarm() as s:
        await s.submit("t-1")
        await s.submit("t-2")
        first, second = await s.pull(), await s.pull()
        held: list[tuple[Any, Any]] = []

        def hold(handler: Any, message: Any) -> None:
            if not matches(s.names.registers, message.subject):
                handler(message)
                return
            held.append((handler, message))
            if len(held) == 2:  # both are read before anything is written
                for take, register in held:
                    take(register)

        s.service.connection.interceptor = hold
        monkeypatch.setattr(JobWriter, "store", store_and_die)
        await s.finish(first, status="dead")
        await s.finish(second, status="dead")
        async with asyncio.timeout(PATIENT_S):
            await dying.wait()
        monkeypatch.setattr(JobWriter, "store", store)
        s.service.stop.set()
        async with leading(s.bus):
            letters = await s.letters(2)
    assert {letter.task.task for letter in letters} == {"t-1", "t-2"}


async def test_letters_that_were_not_copied_stay(swarm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinator, "SNAPSHOT_S", 0.1)
    streams = hierarchical.streams

    def copying_nothing(spec: Any) -> list[dict[str, Any]]:
        *others, letters = streams(spec)
        return [*others, {**letters, "sources": []}]

    monkeypatch.setattr(
        hierarchical, "PATTERN", dataclasses.replace(hierarchical.PATTERN, streams=copying_nothing)
    )
    async with swarm() as s:
        jobs = s.names.stream("JOB")
        await s.submit("t", body=b"the input")
        await s.finish(await s.pull(), status="dead")
        for number in range(3):  # trimmed three times since
            await s.submit(f"filler-{number}")
            await s.finish(await s.pull())
            await wait_until(
                lambda n=number: log.last(s.observer, jobs, s.names.dispatch("j", "k", f"filler-{n}")),  # type: ignore[misc]
                lambda record: record is None,
                timeout_s=PATIENT_S,
                what="the trim of a dispatch",
            )
        letter = await log.last(s.observer, jobs, s.names.dead("j", "t"))
    assert letter is not None
    assert decode(letter.data, DeadLetter).task.body == b"the input"


async def test_nothing_is_dispatched_while_the_log_nears_its_bound(
    swarm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coordinator, "SNAPSHOT_S", 0.05)
    monkeypatch.setattr(coordinator, "FULL", 0.0)
    async with swarm() as s:

        async def told() -> int:
            return int(s.service.counters["nearly_full"])

        await wait_until(told, bool, timeout_s=PATIENT_S, what="the complaint")
        await s.submit("t")
        before = (await log.state(s.observer, s.names.stream("JOB")))["last_seq"]
        await wait_until(  # some snapshots later
            lambda: log.state(s.observer, s.names.stream("JOB")),
            lambda state: state["last_seq"] > before + 8,
            timeout_s=PATIENT_S,
            what="snapshots",
        )
        assert (await s.state()).dispatched == 0
        monkeypatch.setattr(coordinator, "FULL", 2.0)
        await s.finish(await s.pull())


async def test_the_letter_of_the_largest_task_fits_whatever_its_register_says(swarm: Any) -> None:
    """A reason and a name of the greatest length, in characters of four bytes each."""
    task = RunTask(task="t", key="k", job="j")
    room = SUBMISSION_BYTES_MAX - len(encode(task)) - 3  # a body of that size has a longer header
    async with swarm() as s:
        assert (await s.submit("t", body=b"x" * room)).accepted
        await s.close()
        delivery = await s.pull()
        wide = "\N{GRINNING FACE}"
        said = TaskResult(
            task="t", key="k", job="j", status="dead", reason=wide * 1000, agent=wide * 64, attempt=2**53
        )
        await s.write("t", encode(said))
        await s.acknowledge(delivery)
        state = await s.done()
        (letter,) = await s.letters(1)
    assert state.jobs["j"].dead == 1
    assert len(letter.task.body) == room
    assert letter.reason.startswith(wide)


async def test_more_jobs_that_end_at_once_than_the_broker_takes_in_a_batch_all_end(bus: Any) -> None:
    at = JobProgress(dispatched=1, ok=1, closed=True)
    ended = CoordinatorState(
        write="w", jobs={f"j-{number}": at for number in range(jetstream.BATCH_MAX + 200)}
    )
    async with bus(lease_s=0.5) as b, b.connect("observer") as observer:
        async with b.connect("coordinator-2") as former:
            await publish(
                former, b.swarm.coordinator_seat.snapshot, encode(ended), timeout_s=10, headers=EXPECT_NEW
            )

        async def state() -> CoordinatorState:
            record = await log.last(observer, b.swarm.stream("JOB"), b.swarm.coordinator_seat.snapshot)
            assert record is not None
            return decode(record.data, CoordinatorState)

        async with leading(b):
            await wait_until(
                state,
                lambda state: all(job.done for job in state.jobs.values()),
                timeout_s=PATIENT_S,
                what="the end of every job",
            )


async def test_while_the_log_refuses_a_task_it_stays_in_the_ingress(
    swarm: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It stands nowhere else: if the leader died now, only the ingress would tell its successor of it."""
    monkeypatch.setattr(hierarchical, "LOG_BYTES_MAX", 64 * 1024)
    async with swarm() as s:
        with caplog.at_level("ERROR", logger="squall"):
            await s.submit("t", body=b"x" * 200_000)

            async def refusals() -> int:
                return sum("refuses a batch" in record.message for record in caplog.records)

            await wait_until(refusals, lambda count: count > 2, timeout_s=PATIENT_S, what="refusals")
        ingress = await log.state(s.observer, s.names.stream("IN"))
    assert ingress["messages"] == 1
