"""What credentials of a broker of ours are worth: each node does what its topology says, and no more."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest
from nats.errors import Error as NatsError
from tests.integration.brokers import SWARM, TOPOLOGY, Peer, connected, create_streams, running, stored

from squall.bus import subjects
from squall.bus.identity import CONNECTIONS_MAX, Authority
from squall.bus.subjects import POOL

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


# What credentials are worth.


@pytest.mark.parametrize("name", ["agent-1", "agent-2"])
async def test_an_agent_works_through_its_imports(tmp_path: Path, name: str) -> None:
    async with running(tmp_path) as (broker, authority), contextlib.AsyncExitStack() as stack:

        async def peer(node: str) -> Peer:
            return await stack.enter_async_context(connected(broker.url, authority.credentials(node, 60.0)))

        launcher, coordinator, agent = [await peer(node) for node in ("launcher", "coordinator-1", name)]
        await create_streams(launcher)
        heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

        async def hear(message: Any) -> None:
            await heard.put((message.subject, message.data))

        for subject in (SWARM.heartbeat("agent", "*"), SWARM.replies):
            await coordinator.client.subscribe(subject, cb=hear)
        await agent.client.subscribe(SWARM.command(name, "*"), cb=hear)
        await coordinator.settled()
        await agent.settled()

        for sequence, task_id in enumerate(("t", "u"), start=1):
            answer = await coordinator.ask(SWARM.dispatch("j", "k", task_id), "input")
            assert answer["seq"] == sequence
        inbox = agent.client.new_inbox()
        deliveries = await agent.client.subscribe(inbox)
        pull = b'{"batch":2,"expires":5000000000}'
        await agent.client.publish(subjects.next_message(SWARM.stream("WK"), POOL), pull, reply=inbox)
        task, following = [await deliveries.next_msg(timeout=5) for _ in range(2)]
        assert [subjects.last_token(message.subject) for message in (task, following)] == ["t", "u"]
        assert subjects.matches(SWARM.work, task.subject)
        assert task.reply.startswith(subjects.acks(SWARM.stream("WK"), POOL))
        register = SWARM.register(subjects.lane_of(task.subject), "t")
        assert (await agent.ask(register, "result"))["seq"] == 1
        assert (await agent.ask(register, "another"))["error"]["err_code"] == 10077
        assert (await agent.client.request(task.reply, b"+ACK", timeout=5)).data == b""
        assert await stored(launcher, "WK") == 1

        for sender, subject in (
            (agent, SWARM.heartbeat("agent", name)),
            (agent, SWARM.reply(name, "x1")),
            (coordinator, SWARM.command(name, "announce")),
        ):
            await sender.client.publish(subject, b"!")
            assert await asyncio.wait_for(heard.get(), 5) == (subject, b"!")
        assert await agent.settled() == await coordinator.settled() == []


@pytest.mark.parametrize("name", ["agent-1", "producer", "gateway", "coordinator-1", "launcher", "observer"])
async def test_a_node_may_publish_what_its_topology_says_and_nothing_of_the_others(
    tmp_path: Path, name: str
) -> None:
    def filled(pattern: str) -> str:
        return pattern.replace("*", "x").replace(">", "x.y")

    own = TOPOLOGY.permissions[name]
    everybody = {subject for granted in TOPOLOGY.permissions.values() for subject in granted.publish}
    forbidden = {
        filled(subject)
        for subject in everybody
        if not any(subjects.matches(allowed, filled(subject)) for allowed in own.publish)
    }
    async with (
        running(tmp_path) as (broker, authority),
        connected(broker.url, authority.credentials(name, None)) as peer,
    ):
        for subject in own.publish:
            await peer.client.publish(filled(subject), b"")
        assert await peer.settled() == []

        for subject in sorted(forbidden):
            await peer.client.publish(subject, b"")
        complaints = await peer.settled()
        assert len(complaints) == len(forbidden) > 10
        assert all("permissions violation for publish" in complaint for complaint in complaints)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("agent-1", "sw.demo.cmd.agent-2.*"),
        ("agent-1", "_INBOX.agent-2.>"),
        ("agent-1", "sw.demo.hb.*.*"),
        ("producer", "sw.demo.job.>"),
        ("gateway", ">"),
    ],
)
async def test_a_node_hears_nothing_that_is_not_its_own(tmp_path: Path, name: str, subject: str) -> None:
    async with (
        running(tmp_path) as (broker, authority),
        connected(broker.url, authority.credentials(name, None)) as peer,
    ):
        await peer.client.subscribe(subject)
        assert [error for error in await peer.settled() if "permissions violation for subscription" in error]


async def test_an_agent_cannot_make_the_broker_its_deputy(tmp_path: Path) -> None:
    """The broker checks no reply subject, so it answers an empty pull with a request to delete a stream."""
    async with (
        running(tmp_path) as (broker, authority),
        connected(broker.url, authority.credentials("launcher", None)) as launcher,
        connected(broker.url, authority.credentials("agent-1", None)) as agent,
    ):
        await create_streams(launcher)
        deletion = subjects.api("STREAM", "DELETE", SWARM.stream("JOB"))
        term = SWARM.coordinator_seat.term
        for target in (deletion, term):
            await agent.client.publish(
                subjects.next_message(SWARM.stream("WK"), POOL), b'{"batch":1,"no_wait":true}', reply=target
            )
        await agent.settled()
        # A pull with an answer of its own behind them: the broker has dealt with them once this is answered.
        answer = await agent.client.request(
            subjects.next_message(SWARM.stream("WK"), POOL), b'{"batch":1,"no_wait":true}', timeout=5
        )
        assert answer.headers is not None
        assert answer.headers["Status"] == "404"
        assert await stored(launcher, "JOB") == 0


async def test_an_agent_may_renew_but_not_crowd(tmp_path: Path) -> None:
    async with running(tmp_path) as (broker, authority), contextlib.AsyncExitStack() as stack:
        for _ in range(CONNECTIONS_MAX):
            credentials = authority.credentials("agent-1", 60.0)
            await stack.enter_async_context(connected(broker.url, credentials))
        with pytest.raises(NatsError, match="maximum account active connections exceeded"):
            await stack.enter_async_context(connected(broker.url, authority.credentials("agent-1", 60.0)))
        await stack.enter_async_context(connected(broker.url, authority.credentials("agent-2", 60.0)))


async def test_credentials_of_another_authority_are_refused(tmp_path: Path) -> None:
    stranger = Authority.create(TOPOLOGY).credentials("launcher", None)
    async with running(tmp_path) as (broker, _):
        with pytest.raises(NatsError, match="Authorization Violation"):
            async with connected(broker.url, stranger):
                pytest.fail("let in")
