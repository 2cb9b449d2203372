"""Tasks that no register ends: they are looked for, dispatched again, and in the end buried."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.integration.led import PATIENT_S, service_of

from squall.bus import log, register
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection
from squall.bus.jetstream import publish
from squall.bus.messages import RunTask, TaskResult
from squall.bus.pull import Delivery, Puller
from squall.bus.subjects import POOL, lane_for, last_token, matches
from squall.bus.tasks import task_group, wait_until
from squall.bus.term import Leadership
from squall.services.roles import sweeper
from squall.services.rules.dispatch import Progress

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


@pytest.mark.parametrize("has_margin", [True, False])
async def test_a_task_acknowledged_without_a_result_is_dispatched_again(
    swarm: Any, monkeypatch: pytest.MonkeyPatch, has_margin: bool
) -> None:
    """The broker fences that, so a leader whose answers are late does it too."""
    monkeypatch.setattr(Leadership, "may_act", lambda self: has_margin)
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
    assert s.service.counters["overlooked"] == 0


@pytest.mark.parametrize(
    ("first", "passed", "overlooked"),
    [("dispatch", True, True), ("dispatch", False, False), ("register", True, False)],
)
async def test_a_register_that_was_passed_while_its_task_was_open_is_counted(
    bus: Any, monkeypatch: pytest.MonkeyPatch, first: str, passed: bool, overlooked: bool
) -> None:
    monkeypatch.setattr(sweeper, "PATIENCE_MIN_S", 0.0)
    monkeypatch.setattr(sweeper, "SWEEP_S", 0.01)
    task = RunTask(task="t", key="k", job="j")
    result = TaskResult(task="t", key="k", job="j", lane=lane_for("k"), attempt=1, agent="a", status="dead")
    async with bus(ack_wait_s=0.05) as b, b.connect("coordinator-1") as connection, task_group() as tasks:
        progress = Progress()
        for what in (first, "register" if first == "dispatch" else "dispatch"):
            if what == "dispatch":
                subject = b.swarm.dispatch("j", "k", "t")
                stored = await publish(connection, subject, encode(task), timeout_s=PATIENT_S)
                progress.dispatch(task, stored.sequence)
            else:
                subject = b.swarm.register(lane_for("k"), "t")
                await register.write(connection, subject, result, timeout_s=PATIENT_S)
        progress.results = int(passed)
        taken = asyncio.Queue[Delivery]()
        async with b.connect("agent-1") as agent, task_group() as pulling, asyncio.timeout(PATIENT_S):
            puller = Puller(agent, b.swarm.stream("WK"), POOL, taken.put_nowait, lambda: 1 - taken.qsize())
            pulling.daemon(puller.run())
            await agent.request((await taken.get()).reply, b"+ACK", timeout_s=PATIENT_S)
        service, ended = service_of(b, connection), []

        async def ends() -> int:
            return len(ended)

        sweeping = sweeper.Sweeper(
            service,
            progress,
            {"t": 0.0},
            may_act=lambda: True,
            ended=ended.append,
            again=lambda task, sequence: None,
        )
        tasks.daemon(sweeping.run())
        await wait_until(ends, bool, timeout_s=PATIENT_S, what="the sweep")
    assert bool(service.counters["overlooked"]) is overlooked


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
        written = b.swarm.register(lane_for("k"), "t")
        assert await log.last(connection, b.swarm.stream("RES"), written) is None


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


async def test_a_task_that_is_being_dispatched_keeps_no_other_from_being_looked_for(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeper, "PATIENCE_MIN_S", 0.0)
    monkeypatch.setattr(sweeper, "SWEEP_S", 0.01)
    result = TaskResult(task="t", key="k", job="j", lane=lane_for("k"), attempt=1, agent="a", status="ok")
    async with bus(ack_wait_s=0.05) as b, b.connect("coordinator-1") as connection, task_group() as tasks:
        subject = b.swarm.register(lane_for("k"), "t")
        await register.write(connection, subject, result, timeout_s=PATIENT_S)
        progress = Progress()
        progress.dispatch(RunTask(task="on-its-way", key="k", job="j"))
        progress.dispatch(RunTask(task="t", key="k", job="j"), 1)
        ended: list[log.Record] = []

        async def ends() -> int:
            return len(ended)

        sweeping = sweeper.Sweeper(
            service_of(b, connection),
            progress,
            {"on-its-way": 0.0, "t": 0.0},
            may_act=lambda: True,
            ended=ended.append,
            again=lambda task, sequence: None,
        )
        tasks.daemon(sweeping.run())
        await wait_until(ends, bool, timeout_s=PATIENT_S, what="the sweep")
    assert last_token(ended[0].subject) == "t"
