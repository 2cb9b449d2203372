"""A coordinator on a real broker, with a test for an agent: whatever that writes, every task ends, once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from squall.bus import jetstream, log
from squall.bus.border import NAME_LENGTH_MAX, printable
from squall.bus.codec import MESSAGE_BYTES_MAX, SUBMISSION_BYTES_MAX, decode, encode
from squall.bus.connection import Connection
from squall.bus.errors import RequestError
from squall.bus.jetstream import EXPECT_NEW, Entry, Outcome, publish, publish_batch, publish_once
from squall.bus.messages import (
    CloseJob,
    CoordinatorState,
    DeadLetter,
    Heartbeat,
    JobProgress,
    LeaderAccepted,
    RunTask,
    TaskResult,
)
from squall.bus.pull import Delivery, Puller
from squall.bus.subjects import POOL, lane_for, lane_of, last_token, matches
from squall.bus.tasks import task_group, wait_until
from squall.services.node.history import History
from squall.services.node.points import Points
from squall.services.node.service import NodeStart, Service
from squall.services.patterns import hierarchical
from squall.services.roles import coordinator, sweeper
from squall.services.roles.job_writer import JobWriter
from squall.services.rules.dispatch import Progress

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

PATIENT_S = 60.0


@dataclasses.dataclass
class Swarm:
    """A broker, a coordinator that leads, and hands on the bus."""

    bus: Any
    service: Service
    producer: Connection
    agent: Connection
    observer: Connection
    pulled: asyncio.Queue[Delivery]

    def __post_init__(self) -> None:
        self.names = self.bus.swarm

    async def submit(self, task: str, *, key: str = "k", job: str = "j", body: bytes = b"in") -> Outcome:
        message = RunTask(task=task, key=key, job=job, body=body)
        subject = self.names.submit(last_token(f".{key}"))
        return await publish(
            self.producer, subject, msgspec.msgpack.encode(message), message_id=task, timeout_s=30
        )

    async def close(self, job: str = "j") -> None:
        await publish(self.producer, self.names.close(job), encode(CloseJob(job=job)), timeout_s=30)

    async def pull(self) -> Delivery:
        async with asyncio.timeout(PATIENT_S):
            return await self.pulled.get()

    async def acknowledge(self, delivery: Delivery) -> None:
        await self.agent.request(delivery.reply, b"+ACK", timeout_s=10)

    async def write(self, task: str, data: bytes, *, lane: str = "") -> Outcome:
        subject = self.names.register(lane or lane_for("k"), task)
        return await publish_once(self.agent, subject, data, timeout_s=10, headers=EXPECT_NEW)

    async def finish(self, delivery: Delivery, status: str = "ok") -> None:
        """Do what an honest agent does."""
        result = TaskResult(task="t", key="k", job="j", status=status, reason="as told")  # type: ignore[arg-type]
        await self.write(last_token(delivery.subject), encode(result), lane=lane_of(delivery.subject))
        await self.acknowledge(delivery)

    async def state(self) -> CoordinatorState:
        record = await log.last(self.observer, self.names.stream("JOB"), self.names.state)
        return decode(record.data, CoordinatorState) if record else CoordinatorState(write="")

    async def until(self, good: Callable[[CoordinatorState], object]) -> CoordinatorState:
        return await wait_until(self.state, good, timeout_s=PATIENT_S, what="the coordinator's state")

    async def done(self, job: str = "j") -> CoordinatorState:
        return await self.until(lambda state: job in state.jobs and state.jobs[job].done)

    async def letters(self, count: int) -> list[DeadLetter]:
        stream = self.names.stream("DLQ")
        state = await wait_until(
            lambda: log.state(self.observer, stream),
            lambda state: state["last_seq"] >= count,
            timeout_s=PATIENT_S,
            what="dead letters",
        )
        reading = log.read(
            self.observer, stream, self.names.dead_letters, after=state["first_seq"] - 1, until=count
        )
        async with contextlib.aclosing(reading) as records:
            return [decode(record.data, DeadLetter) async for record in records]


def service_of(bus: Any, connection: Connection, node: str = "coordinator-1") -> Service:
    start = NodeStart(spec=bus.spec, node=node, role="coordinator", incarnation=1)
    return Service(start, connection, History(None, node, 1), Points(lambda point: None), lambda: None)


@contextlib.asynccontextmanager
async def leading(bus: Any) -> AsyncIterator[Service]:
    """A coordinator that leads inside the block, and gives the lead up after it."""
    async with bus.connect("coordinator-1") as connection, task_group() as tasks:
        service = service_of(bus, connection)
        serving = tasks.start(coordinator.serve(service))
        yield service
        service.stop.set()
        await serving


@pytest.fixture
def swarm(bus: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``async with swarm(attempts=3) as s``: all is there but agents."""
    monkeypatch.setattr(sweeper, "PATIENCE_MIN_S", 0.5)

    @contextlib.asynccontextmanager
    async def running(**changes: Any) -> AsyncIterator[Swarm]:
        spec = {"ack_wait_s": 0.25, "agents": 2, "slots": 8, "lease_s": 0.5, **changes}
        async with (
            bus(**spec) as b,
            b.connect("producer") as producer,
            b.connect("agent-1") as agent,
            b.connect("observer") as observer,
            leading(b) as service,
            task_group() as tasks,
        ):
            pulled: asyncio.Queue[Delivery] = asyncio.Queue()
            held: set[str] = set()

            def take(delivery: Delivery) -> None:
                held.add(delivery.reply)
                pulled.put_nowait(delivery)

            puller = Puller(agent, b.swarm.stream("WK"), POOL, take, lambda: 8)
            tasks.daemon(puller.run())
            yield Swarm(b, service, producer, agent, observer, pulled)

    return running


async def test_a_task_acknowledged_without_a_result_is_dispatched_again(swarm: Any) -> None:
    async with swarm() as s:
        await s.submit("t")
        await s.close()
        await s.acknowledge(await s.pull())
        again = await s.pull()
        assert decode(again.data, RunTask).again == 1
        await s.finish(again)
        state = await s.done()
    assert (state.jobs["j"].dispatched, state.jobs["j"].ok, state.dispatched) == (1, 1, 2)
    assert s.service.counters["redispatched"] == 1


async def test_a_task_acknowledged_without_a_result_each_time_is_buried_with_its_reason(swarm: Any) -> None:
    async with swarm(attempts=2) as s:
        await s.submit("t", body=b"the input")
        await s.close()
        for _ in range(2):
            await s.acknowledge(await s.pull())
        state = await s.done()
        (letter,) = await s.letters(1)
    assert state.jobs["j"].dead == 1
    assert letter.task.body == b"the input"
    assert letter.reason == "acknowledged without a result 2 times"


GARBAGE = {
    "no msgpack": b"\xc1garbage",
    "empty": b"",
    "nested deep": b"\x81\xa1z" + b"\x91" * 200_000 + b"\xc0",
    "another message": encode(CloseJob(job="j")),
    "a claim to endless effects": b"\x82\xa4kind\xabtask-result\xa7effects\xdd\xff\xff\xff\xff",
    "beyond the bound": b"x" * (MESSAGE_BYTES_MAX + 1),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
async def test_a_register_that_cannot_be_read_ends_its_task_as_dead(swarm: Any, data: bytes) -> None:
    async with swarm() as s:
        await s.submit("t")
        await s.close()
        delivery = await s.pull()
        assert (await s.write("t", data)).kind == "stored"
        await s.acknowledge(delivery)
        state = await s.done()
        (letter,) = await s.letters(1)
    assert (state.jobs["j"].dead, state.open) == (1, ())
    assert (letter.task.job, letter.task.body, letter.reason) == ("j", b"in", "its register cannot be read")
    assert s.service.counters["spoiled"] == 1


HOSTILE = ["a..b", "a b c", "*.>", "x 1 1\r\n\r\nPUB sw.squall.job.term 1\r\nx\r\n", "Bad Name!", "x" * 200]


@pytest.mark.parametrize("name", HOSTILE)
async def test_names_in_a_register_reach_no_subject(swarm: Any, name: str) -> None:
    """A dead register that claims another task, key and job buries its own task under its own job."""
    async with swarm() as s:
        await s.submit("t")
        await s.close()
        delivery = await s.pull()
        agent = name[:64]
        claim = TaskResult(task=name, key=name, job=name, status="dead", reason=name, lane="zzz", agent=agent)
        await s.write("t", encode(claim))
        await s.acknowledge(delivery)
        state = await s.done()
        (letter,) = await s.letters(1)
        record = await log.last(s.observer, s.names.stream("JOB"), s.names.term)
    assert set(state.jobs) == {"j"}
    assert (letter.task.task, letter.task.job) == ("t", "j")
    assert (letter.reason, letter.agent) == (printable(name), printable(agent, NAME_LENGTH_MAX))
    assert record is not None
    assert s.service.connection.counters["violations"] == 0


async def test_a_register_in_another_lane_ends_nothing(swarm: Any) -> None:
    async with swarm() as s:
        await s.submit("t")
        await s.close()
        delivery = await s.pull()
        foreign = TaskResult(task="t", key="k", job="j", status="dead", reason="forged")
        await s.write("t", encode(foreign), lane="zz")
        await s.finish(delivery)
        state = await s.done()
    assert (state.jobs["j"].ok, state.jobs["j"].dead) == (1, 0)


async def test_a_finished_task_submitted_again_ends(swarm: Any) -> None:
    """Its register was passed before it is dispatched, so nothing but a sweep finds it."""
    async with swarm() as s:
        await s.submit("t")
        await s.finish(await s.pull())
        await s.until(lambda state: state.jobs and state.jobs["j"].ok == 1)
        await s.submit("filler", key="k2")  # a snapshot and a trim later the first dispatch is gone
        await s.finish(await s.pull())
        await wait_until(
            lambda: log.last(s.observer, s.names.stream("JOB"), s.names.dispatch("j", "k", "t")),
            lambda record: record is None,
            timeout_s=PATIENT_S,
            what="the trim of the first dispatch",
        )
        again = RunTask(task="t", key="k", job="j")
        await publish(s.producer, s.names.submit("k"), encode(again), message_id="another", timeout_s=30)
        await s.close()
        repeat = await s.pull()
        assert (await s.write("t", b"second")).kind == "refused"
        await s.acknowledge(repeat)
        state = await s.done()
    assert (state.jobs["j"].dispatched, state.jobs["j"].ok) == (3, 3)


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


async def test_a_submission_that_cannot_be_dispatched_is_passed_over(swarm: Any) -> None:
    async with swarm() as s:
        await publish(s.producer, s.names.submit("k"), b"\xc1", timeout_s=10)
        await publish(s.producer, s.names.submit("k"), b"\x81\xa1z" + b"\x91" * 100_000, timeout_s=10)
        await s.submit("Bad Name!")
        await s.submit("t-1", job="x 1 1\r\nPUB sw.squall.job.term 1\r\nx")
        await publish(
            s.producer, s.names.submit("other"), encode(RunTask(task="t-2", key="k", job="j")), timeout_s=10
        )
        await s.submit("good")
        await s.finish(await s.pull())
        await s.submit("Bad Name!")  # the last one, too
        await s.close()
        state = await s.done()
        ingress = await log.state(s.observer, s.names.stream("IN"))
    assert (state.jobs["j"].ok, set(state.jobs)) == (1, {"j"})
    assert state.ingress == ingress["last_seq"]


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


async def test_a_task_that_ends_while_it_is_looked_for_is_not_dispatched_again(
    swarm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its register is written before it is acknowledged, so who asks in the other order finds neither."""
    last = log.last
    async with swarm() as s:
        registers: list[Any] = []
        s.service.connection.interceptor = lambda handler, message: (
            registers.append(message) if matches(s.names.registers, message.subject) else handler(message)
        )
        await s.submit("t")
        delivery = await s.pull()
        looks: list[str] = []

        async def last_then_finish(connection: Connection, stream: str, subject: str, **how: Any) -> Any:
            record = await last(connection, stream, subject, **how)
            if connection is s.service.connection and last_token(subject) == "t" and stream != "JOB":
                looks.append(stream)
                if len(looks) == 1:
                    await s.finish(delivery)
            return record

        monkeypatch.setattr(log, "last", last_then_finish)
        await s.close()
        state = await s.done()
    assert len(looks) >= 2
    assert (state.jobs["j"].ok, state.dispatched, s.service.counters["redispatched"]) == (1, 1, 0)


@pytest.mark.parametrize("meanwhile", ["the lease nears its end", "it ends", "it is dispatched again"])
async def test_a_lost_task_is_not_buried_when_meanwhile(
    bus: Any, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    """The broker fences no register, so a leader that is one no more must not write any."""
    monkeypatch.setattr(sweeper, "PATIENCE_MIN_S", 0.0)
    monkeypatch.setattr(sweeper, "SWEEP_S", 0.01)
    async with bus(ack_wait_s=0.05) as b, b.connect("coordinator-1") as connection, task_group() as tasks:
        progress, looked = Progress(), 0
        for place, name in enumerate(("t", "u"), 1):
            progress.dispatch(RunTask(task=name, key="k", job="j"), place)

        def may_act() -> bool:
            nonlocal looked
            looked += 1
            if meanwhile == "it ends":
                progress.end("t", "ok")
            elif meanwhile == "it is dispatched again":
                progress.dispatch(RunTask(task="t", key="k", job="j", again=1), 2 + looked)
            return meanwhile != "the lease nears its end"

        async def looks() -> int:
            return looked

        sweeping = sweeper.Sweeper(
            service_of(b, connection),
            progress,
            dict.fromkeys(("t", "u"), 0.0),
            may_act=may_act,
            ended=lambda record: None,
            again=lambda task, sequence: None,
        )
        tasks.daemon(sweeping.run())
        await wait_until(looks, lambda n: n >= 2, timeout_s=PATIENT_S, what="looks at both")
        register = b.swarm.register(lane_for("k"), "t")
        assert await log.last(connection, b.swarm.stream("RES"), register) is None


async def test_a_job_too_many_is_passed_over_and_told(swarm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squall.services.rules.dispatch.JOBS_MAX", 2)
    async with swarm() as s:
        for job in ("a", "b", "too-many", "b"):
            await s.submit(f"{job}-{secrets.token_hex(2)}", job=job)
        for job in ("a", "b", "too-many"):
            await s.close(job)
        for _ in range(3):
            await s.finish(await s.pull())
        state = await s.until(lambda state: state.ingress == 7 and state.jobs["b"].done)
    assert {job: at.ok for job, at in state.jobs.items()} == {"a": 1, "b": 2}
    assert s.service.counters["unreadable"] == 1


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

    monkeypatch.setattr(hierarchical, "streams", copying_nothing)
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


async def test_an_agent_opens_the_window_by_no_more_than_its_slots(swarm: Any) -> None:
    async with swarm(agents=2, slots=8) as s:

        async def window() -> int:
            return int(s.service.vitals().get("slots", 0))

        async def unreadable() -> int:
            return int(s.service.counters["unreadable"])

        before = await wait_until(window, bool, timeout_s=PATIENT_S, what="a leader")
        for number in range(1, 50):  # whoever it says it is
            beat = Heartbeat(role="agent", node=f"agent-{number}", incarnation=1, slots=2**53)
            await s.agent.publish(s.names.heartbeat("agent", "agent-1"), encode(beat))
            answer = LeaderAccepted(node=f"agent-{number}", term=1, slots=2**53)
            await s.agent.publish(s.names.reply("agent-1", "x"), encode(answer))
        await s.agent.publish(s.names.heartbeat("agent", "agent-1"), b"the last of them")
        await wait_until(unreadable, bool, timeout_s=PATIENT_S, what="the last of them")
        assert await window() == before == 2 * 2 * 8


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


async def test_a_submission_that_claims_to_have_been_dispatched_is_a_new_task(swarm: Any) -> None:
    async with swarm() as s:
        claim = RunTask(task="t", key="k", job="j", again=7, ingress=99, term=99)
        await publish(s.producer, s.names.submit("k"), encode(claim), message_id="t", timeout_s=30)
        await s.close()
        delivery = await s.pull()
        assert decode(delivery.data, RunTask).again == 0
        await s.acknowledge(delivery)  # without a result, so that it is looked for
        await s.finish(await s.pull())
        state = await s.done()
    assert (state.jobs["j"].dispatched, state.jobs["j"].ok, state.dispatched) == (1, 1, 2)
    assert state.ingress == 2


async def test_lanes_are_computed_as_the_broker_computes_them(swarm: Any) -> None:
    async with swarm() as s:
        for number in range(50):
            await s.submit(f"t-{number}", key=f"account-{number}-sp500")
            delivery = await s.pull()
            key = delivery.subject.split(".")[-2]
            assert lane_of(delivery.subject) == lane_for(key)
            await s.finish(delivery)


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
            await publish(former, b.swarm.state, encode(ended), timeout_s=10, headers=EXPECT_NEW)

        async def state() -> CoordinatorState:
            record = await log.last(observer, b.swarm.stream("JOB"), b.swarm.state)
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
