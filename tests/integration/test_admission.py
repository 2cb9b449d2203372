"""Nodes join a running swarm and leave it: the one that joins works at once, nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest

from squall.bus.connection import Connection, connect
from squall.bus.errors import AuthorizationError, ForbiddenError, InvalidNameError, RequestError
from squall.bus.identity import SYSTEM, Credentials
from squall.bus.jetstream import publish_once
from squall.bus.subjects import POOL, next_message
from squall.bus.system import Accounts
from squall.bus.tasks import task_group, wait_until
from squall.bus.topology.link import Node

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

JOINING = Node("agent-9", "agent", isolated=True)


@contextlib.asynccontextmanager
async def accounts_of(b: Any) -> AsyncIterator[Accounts]:
    async with (
        connect(b.broker.url, SYSTEM, b.authority.credentials(SYSTEM, None)) as connection,
        task_group() as tasks,
    ):
        accounts = Accounts(b.authority, connection)
        tasks.daemon(accounts.run())
        yield accounts


async def gets_in(b: Any, credentials: Credentials) -> bool:
    try:
        async with connect(b.broker.url, credentials.name, credentials):
            return True
    except AuthorizationError:
        return False


async def pull(b: Any, agent: Connection) -> list[str]:
    """Keep a pull open; the tasks that it delivers, from now on."""
    tasks: list[str] = []
    await agent.subscribe("p", lambda message: tasks.append(message.data.decode()), private=True)
    request = b'{"batch": 8, "expires": 5000000000}'
    await agent.publish(next_message(b.swarm.stream("WK"), POOL), request, reply=f"{agent.private_inbox}.p")
    return tasks


async def dispatch(b: Any, coordinator: Connection, task: str) -> None:
    outcome = await publish_once(coordinator, b.swarm.dispatch("j", "k", task), task.encode(), timeout_s=5)
    assert outcome.accepted


async def arrive(tasks: list[str], wanted: list[str]) -> None:
    async def so_far() -> list[str]:
        return list(tasks)

    await wait_until(so_far, lambda found: found == wanted, timeout_s=10, what=f"tasks {wanted}")


async def test_a_node_that_joins_works_at_once(bus: Any) -> None:
    async with bus(agents=1) as b, accounts_of(b) as accounts, b.connect("coordinator-1") as coordinator:
        with pytest.raises(InvalidNameError):
            b.authority.credentials("agent-9", 60)
        accounts.admit(JOINING)
        assert await accounts.settled(5)
        heard: list[bytes] = []
        await coordinator.subscribe(b.swarm.replies, lambda message: heard.append(message.data))
        async with b.connect("agent-9") as agent:
            await agent.subscribe(b.swarm.command("agent-9", "*"), lambda message: heard.append(message.data))
            tasks = await pull(b, agent)
            await dispatch(b, coordinator, "t")
            await arrive(tasks, ["t"])
            outcome = await publish_once(agent, b.swarm.register("0", "t"), b"x", timeout_s=5)
            assert outcome.accepted
            await agent.publish(b.swarm.reply("agent-9", "x"), b"answer")
            await coordinator.publish(b.swarm.command("agent-9", "lead"), b"command")

            async def both() -> list[bytes]:
                return sorted(heard)

            await wait_until(both, lambda all_: all_ == [b"answer", b"command"], timeout_s=5, what="both")
            with pytest.raises(ForbiddenError):
                await agent.publish(b.swarm.reply("agent-1", "x"), b"")


async def test_nobody_notices_that_a_node_joins_and_leaves(bus: Any) -> None:
    """Neither a request through an import nor an open pull is lost."""
    async with (
        bus(agents=2) as b,
        accounts_of(b) as accounts,
        b.connect("agent-1") as agent,
        b.connect("coordinator-1") as coordinator,
    ):
        tasks = await pull(b, agent)
        names = [f"t{number}" for number in range(8)]
        for number, name in enumerate(names):
            if number % 2:
                accounts.dismiss(f"agent-{number + 9 - 1}")
            else:
                accounts.admit(Node(f"agent-{number + 9}", "agent", isolated=True))
            writes = (
                publish_once(agent, b.swarm.register("0", name), b"x", timeout_s=5),
                publish_once(coordinator, b.swarm.dispatch("j", "k", name), name.encode(), timeout_s=5),
            )
            assert [outcome.kind for outcome in await asyncio.gather(*writes)] == ["stored", "stored"]
            assert await accounts.settled(10)
        await arrive(tasks, names)
        assert agent.counters["reconnects"] == coordinator.counters["reconnects"] == 0


async def test_a_node_that_left_is_refused_and_another_of_its_name_is_not(bus: Any) -> None:
    async with bus(agents=2) as b, accounts_of(b) as accounts:
        had = b.authority.credentials("agent-2", None)
        async with connect(b.broker.url, "agent-2", had) as agent:
            accounts.dismiss("agent-2")

            async def lost() -> bool:
                try:
                    await agent.request(b.swarm.heartbeat("agent", "agent-2"), b"", timeout_s=0.1)
                except RequestError as error:
                    return not error.definite or "connection" in str(error)
                return False

            await wait_until(lost, bool, timeout_s=5, what="a closed connection")
            assert await accounts.settled(5)
            assert not await gets_in(b, had)
        with pytest.raises(InvalidNameError):
            b.authority.credentials("agent-2", 60)
        assert [node.name for node in b.authority.topology.of_role("agent")] == ["agent-1"]
        accounts.admit(Node("agent-2", "agent", isolated=True))
        assert await accounts.settled(5)
        assert not await gets_in(b, had)
        assert await gets_in(b, b.authority.credentials("agent-2", 60))


async def test_a_node_that_shares_core_joins_without_a_word_to_the_broker(bus: Any) -> None:
    async with bus(agents=1) as b, accounts_of(b) as accounts:
        accounts.admit(Node("coordinator-3", "coordinator"))
        async with b.connect("coordinator-3") as coordinator, b.connect("agent-1") as agent:
            tasks = await pull(b, agent)
            await dispatch(b, coordinator, "t")
            await arrive(tasks, ["t"])


async def test_a_killed_broker_comes_back_with_who_joined_and_without_who_left(bus: Any) -> None:
    """Also where that fell into the time that it was away."""
    async with bus(alone=True, agents=3) as b, accounts_of(b) as accounts:
        had = {name: b.authority.credentials(name, None) for name in ("agent-1", "agent-2", "agent-3")}
        accounts.dismiss("agent-2")
        accounts.admit(JOINING)
        assert await accounts.settled(5)
        incarnation = b.broker.incarnation
        b.broker.signal(signal.SIGKILL)
        accounts.dismiss("agent-3")
        accounts.admit(Node("agent-10", "agent", isolated=True))

        async def starts() -> int:
            return b.broker.incarnation

        await wait_until(starts, lambda n: n > incarnation, timeout_s=30, what="the broker")
        for _ in range(2):  # at once, and once all that was owed is paid
            for name, credentials in had.items():
                assert await gets_in(b, credentials) == (name == "agent-1"), name
            for name in ("agent-9", "agent-10"):
                assert await gets_in(b, b.authority.credentials(name, 60))
            assert await accounts.settled(30)
