"""What a hijacked agent can do with its credentials and a plain NATS client: nothing beyond its own edges.

Three tables: subjects it may not publish to, subjects it may not listen to, and
carriers — things it *may* do — each with a reply or a header that aims the
broker's own answer at something it may not reach. After each attack all streams,
their consumers and what the others heard must be as they were.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from nats.errors import TimeoutError as NatsTimeoutError
from tests.settle import settle

from squall.bus import log
from squall.bus.codec import encode
from squall.bus.connection import Connection
from squall.bus.jetstream import Entry, call, publish_batch
from squall.bus.messages import LeaseRenewed, RunTask, TaskResult, TaskTried, TermClaimed
from squall.bus.subjects import POOL, Subjects, matches, newest
from squall.bus.tasks import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

S = Subjects("squall")
IN, JOB, WK, TRY, RES, DLQ = (S.stream(plane) for plane in ("IN", "JOB", "WK", "TRY", "RES", "DLQ"))
ME, VICTIM = "agent-1", "agent-2"
API = "$JS.API"

FORBIDDEN_PUBLISHES = [
    # the control plane
    S.coordinator_seat.term,
    S.coordinator_seat.lease,
    S.coordinator_seat.snapshot,
    S.job_opened("j"),
    S.job_done("j"),
    S.dispatch("j", "k", "evil"),
    S.dead("j", "evil"),
    S.submit("k"),
    S.close("j"),
    S.queued("0", "k", "evil"),
    "sw.squall.dlq.j.evil",
    # in another's name
    S.command(VICTIM, "lead"),
    S.command(ME, "lead"),
    S.heartbeat("agent", VICTIM),
    S.heartbeat("coordinator", "coordinator-1"),
    S.reply(VICTIM, "x"),
    "_INBOX.agent-2.x",
    "_INBOX.coordinator-1.x",
    # other consumers
    f"{API}.CONSUMER.MSG.NEXT.{RES}.gateway",
    f"{API}.CONSUMER.MSG.NEXT.{WK}.other",
    f"{API}.CONSUMER.MSG.NEXT.{JOB}.pool",
    f"$JS.ACK.{RES}.gateway.1.1.1.1.0",
    f"$JS.ACK.{WK}.other.1.1.1.1.0",
    # administration
    f"{API}.INFO",
    f"{API}.STREAM.LIST",
    f"{API}.STREAM.NAMES",
    f"{API}.STREAM.CREATE.EVIL",
    f"{API}.STREAM.UPDATE.{RES}",
    f"{API}.STREAM.INFO.{JOB}",
    f"{API}.STREAM.DELETE.{JOB}",
    f"{API}.STREAM.DELETE.{RES}",
    f"{API}.STREAM.PURGE.{JOB}",
    f"{API}.STREAM.PURGE.{RES}",
    f"{API}.STREAM.PURGE.{IN}",
    f"{API}.STREAM.MSG.GET.{JOB}",
    f"{API}.STREAM.MSG.DELETE.{JOB}",
    f"{API}.STREAM.SNAPSHOT.{JOB}",
    f"{API}.DIRECT.GET.{RES}",
    f"{API}.DIRECT.GET.{RES}.{S.register('0', 'victim')}",
    f"{API}.DIRECT.GET.{TRY}",
    f"{API}.STREAM.MSG.GET.{TRY}",
    f"{API}.STREAM.PURGE.{TRY}",
    f"{API}.CONSUMER.CREATE.{WK}.evil",
    f"{API}.CONSUMER.CREATE.{RES}.evil.sw.squall.res.*.*",
    f"{API}.CONSUMER.DURABLE.CREATE.{WK}.evil",
    f"{API}.CONSUMER.INFO.{WK}.pool",
    f"{API}.CONSUMER.DELETE.{WK}.pool",
    f"{API}.CONSUMER.DELETE.{RES}.gateway",
    f"{API}.CONSUMER.PAUSE.{WK}.pool",
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.SERVER.PING",
]

FORBIDDEN_SUBSCRIPTIONS = [
    ">",
    "*",
    "sw.>",
    "sw.squall.>",
    S.command(VICTIM, "*"),
    S.commands,
    S.heartbeats,
    S.reply("*", "*"),
    S.registers,
    S.jobs,
    S.work,
    S.ingress,
    S.dead_letters,
    "_INBOX.>",
    "_INBOX.agent-2.>",
    "_INBOX.coordinator-1.>",
    "$JS.>",
    f"{API}.>",
    "$JS.EVENT.>",
    "$SYS.>",
]

TARGETS = {
    "delete a stream": f"{API}.STREAM.DELETE.{JOB}",
    "purge a stream": f"{API}.STREAM.PURGE.{RES}",
    "delete the pool": f"{API}.CONSUMER.DELETE.{WK}.pool",
    "move the fence": S.coordinator_seat.term,
    "renew a lease": S.coordinator_seat.lease,
    "inject a task": S.dispatch("j", "k", "evil"),
    "inject a submission": S.submit("k"),
    "take a result's slot": S.register("0", "victim"),
    "count a task's attempts": S.tried(POOL, "0", "victim"),
    "fake a command": S.command(VICTIM, "lead"),
    "fake a heartbeat": S.heartbeat("agent", VICTIM),
    "write to an inbox": "_INBOX.coordinator-1.x",
}

Attack = Callable[[Client, str, int], Awaitable[None]]
PULL = f"{API}.CONSUMER.MSG.NEXT.{WK}.pool"


def own(number: int) -> bytes:
    return encode(TaskResult(task=f"own-{number}", key="k", job="j", status="ok"))


async def pull_nothing(client: Client, target: str, number: int) -> None:
    await client.publish(PULL, b'{"batch": 1, "no_wait": true}', reply=target)


async def pull_and_expire(client: Client, target: str, number: int) -> None:
    await client.publish(PULL, b'{"batch": 1, "expires": 1000000}', reply=target)


async def pull_nonsense(client: Client, target: str, number: int) -> None:
    await client.publish(PULL, b"{", reply=target)


async def pull_heartbeats(client: Client, target: str, number: int) -> None:
    request = b'{"batch": 1, "expires": 400000000, "idle_heartbeat": 100000000}'
    await client.publish(PULL, request, reply=target)


async def register_own(client: Client, target: str, number: int) -> None:
    await client.publish(S.register("0", f"own-{number}"), own(number), reply=target)


async def register_again(client: Client, target: str, number: int) -> None:
    await client.publish(S.register("0", "own-0"), own(0), reply=target)


async def register_with_fence(client: Client, target: str, number: int) -> None:
    headers = {"Nats-Expected-Last-Subject-Sequence": "9999"}
    await client.publish(S.register("0", "own-0"), own(0), reply=target, headers=headers)


async def mark_own(client: Client, target: str, number: int) -> None:
    await client.publish(S.tried(POOL, "0", f"own-{number}"), encode(TaskTried(attempts=2)), reply=target)


async def read_mark(client: Client, target: str, number: int) -> None:
    await client.publish(newest(TRY, S.tried(POOL, "0", "own-0")), b"", reply=target)


async def read_no_mark(client: Client, target: str, number: int) -> None:
    await client.publish(newest(TRY, S.tried(POOL, "0", "nobody")), b"", reply=target)


async def acknowledge(client: Client, target: str, number: int) -> None:
    await client.publish(f"$JS.ACK.{WK}.pool.1.999999.999999.1.0", b"+ACK", reply=target)


async def acknowledge_and_pull(client: Client, target: str, number: int) -> None:
    await client.publish(f"$JS.ACK.{WK}.pool.1.999999.999999.1.0", b"+NXT", reply=target)


async def beat(client: Client, target: str, number: int) -> None:
    await client.publish(S.heartbeat("agent", ME), b"", reply=target)


async def answer(client: Client, target: str, number: int) -> None:
    await client.publish(S.reply(ME, "x"), b"", reply=target)


async def trace_beat(client: Client, target: str, number: int) -> None:
    await client.publish(S.heartbeat("agent", ME), b"", headers={"Nats-Trace-Dest": target})


async def trace_register(client: Client, target: str, number: int) -> None:
    headers = {"Nats-Trace-Dest": target, "Nats-Trace-Only": "true"}
    await client.publish(S.register("0", f"own-{number}"), own(number), headers=headers)


TRACES = (trace_beat, trace_register)
"""Carriers that the broker lets through where the agent may publish itself: what its pool shares."""

CARRIERS: list[Attack] = [
    pull_nothing,
    pull_and_expire,
    pull_nonsense,
    pull_heartbeats,
    register_own,
    register_again,
    register_with_fence,
    mark_own,
    read_mark,
    read_no_mark,
    acknowledge,
    acknowledge_and_pull,
    beat,
    answer,
    trace_beat,
    trace_register,
]


@contextlib.asynccontextmanager
async def hijacked(b: Any) -> AsyncIterator[tuple[Client, list[str]]]:
    """A plain client with an agent's credentials, and the errors the broker sent it."""
    errors: list[str] = []

    async def note(error: Exception) -> None:
        errors.append(str(error))

    credentials = b.authority.credentials(ME, None)
    client = Client()
    await client.connect(
        b.broker.url,
        user_credentials=RawCredentials(credentials.creds_file()),
        inbox_prefix=credentials.inbox,
        allow_reconnect=False,
        error_cb=note,
    )
    try:
        yield client, errors
    finally:
        await client.close()


async def lead(b: Any, coordinator: Connection) -> int:
    """A term, a lease and a dispatched task, as a leader leaves them; the term."""
    outcome = await publish_batch(
        coordinator,
        [
            Entry(S.coordinator_seat.term, encode(TermClaimed(holder="coordinator-1", write="w")), 0),
            Entry(S.coordinator_seat.lease, encode(LeaseRenewed(holder="coordinator-1", write="w")), 0),
        ],
        timeout_s=5,
    )
    assert outcome.accepted
    return outcome.sequence - 1


async def everything(observer: Connection) -> dict[str, Any]:
    """All that an attack could change; the agent's own records, which it may write, left out."""
    seen: dict[str, Any] = {}
    for stream in (IN, JOB, WK, DLQ):
        info = await call(observer, "STREAM", "INFO", stream)
        state = {name: info["state"][name] for name in ("messages", "first_seq", "last_seq", "bytes")}
        seen[stream] = (info["config"], state)
    for stream, own_prefix in ((RES, S.register("0", "own-")), (TRY, S.tried(POOL, "0", "own-"))):
        info = await call(observer, "STREAM", "INFO", stream, request={"subjects_filter": ">"})
        subjects = info["state"].get("subjects") or {}
        seen[stream] = (info["config"], sorted(name for name in subjects if not name.startswith(own_prefix)))
    for stream, consumer in ((WK, "pool"), (RES, "gateway")):
        info = await call(observer, "CONSUMER", "INFO", stream, consumer)
        seen[f"{stream}/{consumer}"] = (info["config"], info["ack_floor"], info["num_ack_pending"])
    return seen


@contextlib.asynccontextmanager
async def listening(b: Any) -> AsyncIterator[tuple[Connection, list[str]]]:
    """The others: what they hear that is not the hijacked agent speaking for itself."""
    heard: list[str] = []
    mine = (S.heartbeat("agent", ME), S.reply(ME, "x"))

    def note(message: Msg) -> None:
        if message.subject not in mine:
            heard.append(message.subject)

    async with (
        b.connect("observer") as observer,
        b.connect("coordinator-1") as coordinator,
        b.connect(VICTIM) as victim,
    ):
        await lead(b, coordinator)
        await victim.subscribe(S.command(VICTIM, "*"), note)
        await observer.subscribe(S.heartbeats, note)
        await coordinator.subscribe(S.reply("*", "*"), note)
        await coordinator.subscribe("x", note, private=True)
        yield observer, heard


async def test_every_publish_outside_its_rights_is_refused(bus: Any) -> None:
    async with bus(agents=2) as b, listening(b) as (observer, heard), hijacked(b) as (client, errors):
        before = await everything(observer)
        for subject in FORBIDDEN_PUBLISHES:
            errors.clear()
            with pytest.raises((NoRespondersError, NatsTimeoutError)):
                await client.request(subject, b"{}", timeout=0.3)
            await settle(client)
            assert any(subject.lower() in error for error in errors), f"{subject} was not refused"
            assert await everything(observer) == before, f"{subject} changed something"
        assert heard == []
        assert client.is_connected


async def test_every_subscription_outside_its_rights_is_refused(bus: Any) -> None:
    async with bus(agents=2) as b, listening(b), hijacked(b) as (client, errors):
        for subject in FORBIDDEN_SUBSCRIPTIONS:
            errors.clear()
            await client.subscribe(subject)
            await settle(client)
            assert any("subscription" in error for error in errors), f"{subject} may be listened to"


@pytest.mark.parametrize("carrier", CARRIERS, ids=lambda carrier: carrier.__name__)
async def test_no_answer_of_the_broker_can_be_aimed_at_others(bus: Any, carrier: Attack) -> None:
    async with bus(agents=2) as b, listening(b) as (observer, heard), hijacked(b) as (client, _):
        await register_own(client, "", 0)
        await mark_own(client, "", 0)
        await settle(client)
        before = await everything(observer)
        for number, (what, target) in enumerate(TARGETS.items(), 1):
            if carrier in TRACES and (matches(S.registers, target) or matches(S.tries, target)):
                continue
            with contextlib.suppress(NatsError):
                await carrier(client, target, number)
            await settle(client)
            assert await everything(observer) == before, f"{carrier.__name__} could {what}"
        # What was heard comes after what the broker answered to `everything`.
        assert heard == [], f"{carrier.__name__} was heard as {heard}"


async def test_a_delivery_aimed_at_others_reaches_nobody(bus: Any) -> None:
    """The pull trick with a task in the queue: the broker delivers a stored message wherever it is told."""
    async with bus(agents=2, ack_wait_s=0.5) as b, listening(b) as (observer, heard):
        async with b.connect("coordinator-2") as coordinator:
            task = encode(RunTask(task="t", key="k", job="j"))
            assert (
                await publish_batch(coordinator, [Entry(S.dispatch("j", "k", "t"), task, 0)], timeout_s=5)
            ).accepted

        async def queued() -> int:
            return int((await log.state(observer, WK))["messages"])

        await wait_until(queued, lambda n: n == 1, timeout_s=10, what="the task in the queue")
        streams = {name: state for name, state in (await everything(observer)).items() if "/" not in name}
        async with hijacked(b) as (client, _):
            for what, target in TARGETS.items():
                await client.publish(PULL, b'{"batch": 1, "expires": 3000000000}', reply=target)
                await settle(client)

                now = await everything(observer)
                # The task is out for delivery until its ack wait ends, as with any worker that hogs one.
                assert {name: now[name] for name in streams} == streams, f"a delivery could {what}"
        assert heard == []


async def test_what_an_agent_needs_still_works_after_all_that(bus: Any) -> None:
    """The tables above would also pass with credentials that may do nothing."""
    async with bus(agents=2) as b, b.connect("observer") as observer, hijacked(b) as (client, errors):
        answer = await client.request(S.register("0", "mine"), own(1), timeout=5)
        assert json.loads(answer.data)["seq"] == 1
        await client.subscribe(S.command(ME, "*"))
        await settle(client)
        assert errors == []
        assert (await log.state(observer, RES))["messages"] == 1
