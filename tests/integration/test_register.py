"""The first writer of a register wins, whatever happens around it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from squall.bus import log, register
from squall.bus.attempts import MARK_BYTES_MAX
from squall.bus.codec import HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, decode, encode
from squall.bus.errors import MessageTooLargeError
from squall.bus.jetstream import call, publish_once
from squall.bus.messages import TaskResult
from squall.bus.subjects import POOL

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


def result(task: str, agent: str, **facts: Any) -> TaskResult:
    return TaskResult(task=task, key="k", job="j", lane="7", agent=agent, status="ok", **facts)


def place(b: Any) -> str:
    return str(b.swarm.register("7", "t"))


async def test_one_of_many_concurrent_writers_wins_and_the_rest_learn_it(bus: Any) -> None:
    async with bus() as b, b.connect("agent-1") as one, b.connect("agent-2") as two:
        writes = [
            register.write(connection, place(b), result("t", f"{connection.name}-{i}"), timeout_s=10)
            for i in range(20)
            for connection in (one, two)
        ]
        outcomes = [written for written, _ in await asyncio.gather(*writes)]
        assert sorted(outcomes) == ["already"] * 39 + ["won"]


async def test_a_message_id_used_up_by_another_does_not_cost_the_record(bus: Any) -> None:
    async with bus() as b, b.connect("agent-1") as thief, b.connect("agent-2") as victim:
        mine = encode(result("mine", "agent-1"))
        for used_up in ("t", "7-t", b.swarm.register("7", "t")):
            await thief.request(
                b.swarm.register("7", "mine"), mine, timeout_s=5, headers={"Nats-Msg-Id": used_up}
            )
        written, _ = await register.write(victim, place(b), result("t", "agent-2"), timeout_s=5)
        assert written == "won"
        async with b.connect("observer") as observer:
            record = await log.last(observer, b.swarm.stream("RES"), b.swarm.register("7", "t"))
            assert record is not None
            assert decode(record.data, TaskResult).agent == "agent-2"


@pytest.mark.parametrize(
    ("stream", "bytes_max"),
    [("RES", MESSAGE_BYTES_MAX + HEADER_BYTES_MAX), ("TRY", MARK_BYTES_MAX)],
)
async def test_the_broker_takes_no_larger_record_from_whoever_sends_it(
    bus: Any, stream: str, bytes_max: int
) -> None:
    async with bus() as b, b.connect("agent-1") as one, b.connect("observer") as observer:
        subject = {"RES": b.swarm.register("7", "t"), "TRY": b.swarm.tried(POOL, "7", "t")}[stream]
        outcome = await publish_once(one, subject, b"x" * (bytes_max + 1), timeout_s=5)
        assert (outcome.kind, "maximum allowed" in outcome.reason) == ("refused", True), outcome
        assert (await log.state(observer, b.swarm.stream(stream)))["messages"] == 0


async def test_a_record_beyond_the_bound_is_refused_before_it_is_sent(bus: Any) -> None:
    async with bus() as b, b.connect("agent-1") as one:
        with pytest.raises(MessageTooLargeError):
            await register.write(
                one, place(b), result("t", "agent-1", value=b"x" * MESSAGE_BYTES_MAX), timeout_s=5
            )
        written, _ = await register.write(one, place(b), result("t", "agent-1"), timeout_s=5)
        assert written == "won"


async def test_nobody_whatever_his_rights_takes_a_register_back(bus: Any) -> None:
    async with bus() as b, b.connect("observer") as observer:
        (config,) = [(await call(observer, "STREAM", "INFO", b.swarm.stream("RES")))["config"]]
    assert (config["deny_delete"], config["deny_purge"], config["allow_rollup_hdrs"]) == (True, True, False)
    assert (config["discard"], config["discard_new_per_subject"], config["max_msgs_per_subject"]) == (
        "new",
        True,
        1,
    )
