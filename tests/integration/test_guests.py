"""Guests: an agent that is not ours is asked by the swarm's handlers, and sees nothing of the swarm."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import nats.errors
import pytest
from nats.aio.msg import Msg
from tests.integration.brokers import SWARM, TOPOLOGY, Peer, connected, create_streams, running
from tests.integration.responders import AGENT, SUBJECT, hosting, responding
from tests.integration.responders import Peer as Responder
from tests.unit.ported import GOOD, opened, task

from squall.bus import subjects
from squall.bus.broker import Broker
from squall.bus.connection import connect
from squall.bus.ended import Done, NotThere
from squall.bus.errors import ForbiddenError, NoRespondersError
from squall.bus.identity import Authority
from squall.bus.topology.guest import Guest
from squall.services.handlers.guests import guest_of
from squall.services.handlers.kinds import load
from squall.services.handlers.port import Handling

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

PRICER = Guest(name="pricer", serves=("prices.decide",))
OTHER = Guest(name="other", serves=("risks.decide",), hears=("$SRV.>",), says=("agents.hb.x",))
GUESTS = replace(TOPOLOGY, guests=(PRICER, OTHER))
PATIENCE_S = 10.0


@dataclass
class Hall:
    broker: Broker
    authority: Authority

    def peer(self, name: str) -> contextlib.AbstractAsyncContextManager[Peer]:
        """A plain client with a guest's, or a node's, credentials."""
        return connected(self.broker.url, self.authority.credentials(name, 60.0))


@pytest.fixture
async def hall(tmp_path: Path) -> AsyncIterator[Hall]:
    async with running(tmp_path / "broker", topology=GUESTS) as (broker, authority):
        yield Hall(broker, authority)


async def serve(peer: Peer, subject: str, *parts: bytes) -> None:
    async def answer(message: Msg) -> None:
        for part in parts:
            await peer.client.publish(message.reply, part + message.data)

    await peer.client.subscribe(subject, queue="q", cb=answer)
    assert await peer.settled() == []


async def test_every_handler_asks_it_and_it_alone_answers(hall: Hall) -> None:
    async with hall.peer("pricer") as pricer:
        await serve(pricer, "prices.decide", b"yes ")
        for node in ("agent-1", "agent-2"):
            async with connect(hall.broker.url, node, hall.authority.credentials(node, 60.0)) as agent:
                reply = await agent.request("prices.decide", b"?", timeout_s=PATIENCE_S)
                assert reply.data == b"yes ?"
                with pytest.raises(NoRespondersError):  # nobody is there
                    await agent.request("risks.decide", b"?", timeout_s=PATIENCE_S)
        for node in ("coordinator-1", "producer"):
            async with connect(hall.broker.url, node, hall.authority.credentials(node, 60.0)) as other:
                with pytest.raises((ForbiddenError, NoRespondersError)):
                    await other.request("prices.decide", b"?", timeout_s=PATIENCE_S)


async def test_an_answer_in_parts_comes_whole(hall: Hall) -> None:
    async with hall.peer("pricer") as pricer, hall.peer("agent-1") as agent:
        await serve(pricer, "prices.decide", b"a", b"b", b"c")
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        async def hear(message: Msg) -> None:
            await heard.put(message.data)

        inbox = f"{agent.inbox}.parts"
        await agent.client.subscribe(inbox, cb=hear)
        await agent.client.publish("prices.decide", b"", reply=inbox)
        async with asyncio.timeout(PATIENCE_S):
            assert [await heard.get() for _ in range(3)] == [b"a", b"b", b"c"]


SUBSCRIBES = [
    ">",
    "*.>",
    "sw.demo.>",
    SWARM.ingress,
    SWARM.jobs,
    SWARM.registers,
    SWARM.heartbeats,
    SWARM.command("agent-1", "*"),
    SWARM.queued("*", "*", "*"),
    "risks.decide",
    "prices.>",
    "$SYS.>",
    "$SYS.ACCOUNT.*.CONNECT",
    "$JS.>",
    "$JS.EVENT.>",
    "_R_.>",
    "$SRV.>",
]
PUBLISHES = [
    SWARM.ingress.replace("*", "x").replace(">", "x"),
    SWARM.register("0", "t"),
    SWARM.command("agent-1", "lead"),
    SWARM.heartbeat("agent", "agent-1"),
    "prices.decide",
    "risks.decide",
    subjects.api("INFO"),
    subjects.api("STREAM", "NAMES"),
    subjects.api("STREAM", "DELETE", SWARM.stream("JOB")),
    subjects.api("STREAM", "PURGE", SWARM.stream("RES")),
    subjects.next_message(SWARM.stream("WK"), subjects.POOL),
    f"{subjects.acks(SWARM.stream('WK'), subjects.POOL)}1.1.1.1.0",
    "$SYS.REQ.CLAIMS.UPDATE",
    "$SYS.REQ.SERVER.PING",
    "$SYS.REQ.ACCOUNT.PING.STATZ",
    "$SYS.REQ.USER.INFO",
    "_INBOX.agent-1.guessed",
    "agents.hb.x",
]


async def test_what_it_does_not_serve_it_cannot_listen_to(hall: Hall) -> None:
    async with hall.peer("pricer") as pricer:

        async def hear(message: Msg) -> None:
            raise AssertionError(f"it heard {message.subject}")

        for subject in SUBSCRIBES:
            await pricer.client.subscribe(subject, cb=hear)
        assert await refused(pricer) == sorted(f'subscription to "{each.lower()}"' for each in SUBSCRIBES)


async def test_what_is_not_its_to_say_it_cannot_say(hall: Hall) -> None:
    async with hall.peer("pricer") as pricer:
        for subject in PUBLISHES:
            await pricer.client.publish(subject, b"{}", reply=f"{pricer.inbox}.x")
        assert await refused(pricer) == sorted(f'publish to "{each.lower()}"' for each in PUBLISHES)


async def refused(peer: Peer) -> list[str]:
    """What the broker has refused it."""
    said = "permissions violation for "
    return sorted(error.rpartition(said)[2] for error in await peer.settled() if said in error)


async def test_what_it_may_hear_of_inboxes_is_its_own_accounts(hall: Hall) -> None:
    """All inboxes of the swarm pass it by; so do those of another guest."""
    async with (
        hall.peer("launcher") as launcher,
        hall.peer("pricer") as pricer,
        hall.peer("other") as other,
        hall.peer("agent-1") as agent,
    ):
        heard: list[str] = []

        async def hear(message: Msg) -> None:
            heard.append(message.subject)

        await pricer.client.subscribe("_INBOX.>", cb=hear)
        assert await pricer.settled() == []
        await serve(other, "risks.decide", b"no ")
        await create_streams(launcher)
        assert (await agent.client.request("risks.decide", b"", timeout=PATIENCE_S)).data == b"no "
        # A marker on the same path: what a question of its own would be answered on.
        await pricer.client.publish("_R_.nobody", b"")
        await pricer.settled()
        assert heard == []


async def test_a_forged_answer_reaches_nobody(hall: Hall) -> None:
    """A guest may publish what an answer is published on, and has to be told where one goes."""
    async with hall.peer("pricer") as pricer, hall.peer("other") as other, hall.peer("agent-1") as agent:
        asked: asyncio.Queue[str] = asyncio.Queue()

        async def hear(message: Msg) -> None:
            await asked.put(message.reply)

        await other.client.subscribe("risks.decide", cb=hear)
        await other.settled()
        question = asyncio.ensure_future(agent.client.request("risks.decide", b"", timeout=1.0))
        async with asyncio.timeout(PATIENCE_S):
            reply = await asked.get()
        await pricer.client.publish(reply, b"forged")
        await pricer.settled()
        with pytest.raises(nats.errors.TimeoutError):
            await question


# As handlers.


async def never(peer: Responder, asked: object, message: Msg) -> None:
    raise AssertionError("no task here is bad")


@pytest.mark.parametrize(
    ("name", "serving"),
    [(f"nats:{SUBJECT}", responding), (f"agent:{AGENT}", hosting)],
    ids=["responder", "agent"],
)
async def test_a_guest_is_a_handler_that_may_come_and_go(
    tmp_path: Path, name: str, serving: Callable[..., contextlib.AbstractAsyncContextManager[Responder]]
) -> None:
    handling = Handling(name=name, guest="pricer")
    guest = guest_of(handling, 5.0)
    assert guest is not None
    topology = replace(TOPOLOGY, guests=(guest,))
    async with running(tmp_path / "broker", topology=topology) as (broker, authority):
        who = authority.credentials("agent-1", 60.0)
        async with (
            connect(broker.url, "agent-1", who) as connection,
            opened(load(handling), timeout_s=5.0, connection=connection) as port,
        ):
            for _ in range(2):
                absent = await port.run(task(bad=False), 1)
                assert isinstance(absent, NotThere), absent
                async with serving(broker.url, never, authority.credentials("pricer", 60.0)) as peer:
                    ended = [await port.run(task(f"t-{n}", bad=False), 1) for n in range(3)]
                    assert [each.effects for each in ended if isinstance(each, Done)] == [GOOD] * 3, ended
                    assert len(peer.asked) == 3
