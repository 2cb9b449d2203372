"""A coordinator, with a test for an agent: whatever that writes, every task ends, once."""

from __future__ import annotations

import secrets
import time
from typing import Any

import pytest
from tests.integration.led import PATIENT_S

from squall.bus import log
from squall.bus.border import NAME_LENGTH_MAX, printable
from squall.bus.codec import MESSAGE_BYTES_MAX, encode
from squall.bus.jetstream import publish
from squall.bus.messages import (
    CloseJob,
    Heartbeat,
    LeaderAccepted,
    RunTask,
    TaskResult,
)
from squall.bus.subjects import lane_for, lane_of
from squall.bus.tasks import wait_until
from squall.services.roles import slots

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


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
        record = await log.last(s.observer, s.names.stream("JOB"), s.names.coordinator_seat.term)
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


async def test_an_agent_opens_the_window_by_no_more_than_its_slots(
    swarm: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(slots, "READ_EVERY_S", 0.0)
    async with swarm(agents=2, slots=8) as s:

        async def window() -> int:
            return int(s.service.vitals().get("slots", 0))

        async def heard() -> int:
            await s.agent.publish(s.names.heartbeat("agent", "agent-1"), b"no heartbeat")
            return int(s.service.counters["unreadable"])

        before = await wait_until(window, bool, timeout_s=PATIENT_S, what="a leader")

        async def said() -> str:
            return caplog.text

        await wait_until(heard, bool, timeout_s=PATIENT_S, what="a leader that listens")
        for number in range(1, 50):  # whoever it says it is
            beat = Heartbeat(role="agent", node=f"agent-{number}", incarnation=1, slots=2**53)
            await s.agent.publish(s.names.heartbeat("agent", "agent-1"), encode(beat))
            answer = LeaderAccepted(node=f"agent-{number}", term=1, slots=2**53)
            await s.agent.publish(s.names.reply("agent-1", "x"), encode(answer))
        await s.agent.publish(s.names.reply("agent-1", "last"), b"no answer")
        await wait_until(said, lambda text: "rep.agent-1.last" in text, timeout_s=PATIENT_S, what="the last")
        assert await window() == before == 2 * 2 * 8


async def test_of_an_agent_that_floods_the_leader_little_is_read(swarm: Any) -> None:
    async with swarm(agents=2, slots=8) as s:

        async def unreadable() -> int:
            return int(s.service.counters["unreadable"])

        async def window() -> int:
            return int(s.service.vitals().get("slots", 0))

        await wait_until(window, bool, timeout_s=PATIENT_S, what="a leader")
        begun_s = time.monotonic()

        async def said() -> int:
            for _ in range(1000):
                await s.agent.publish(s.names.heartbeat("agent", "agent-1"), b"no heartbeat", confirm=False)
                await s.agent.publish(s.names.reply("agent-1", "x"), b"no answer", confirm=False)
            return await unreadable()

        await wait_until(said, lambda count: count > 2, timeout_s=PATIENT_S, what="what was read of a flood")
        count, took_s = await unreadable(), time.monotonic() - begun_s
        assert count <= 1 + took_s / slots.READ_EVERY_S


async def test_lanes_are_computed_as_the_broker_computes_them(swarm: Any) -> None:
    async with swarm() as s:
        for number in range(50):
            await s.submit(f"t-{number}", key=f"account-{number}-sp500")
            delivery = await s.pull()
            key = delivery.subject.split(".")[-2]
            assert lane_of(delivery.subject) == lane_for(key)
            await s.finish(delivery)
