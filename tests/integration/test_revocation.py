"""Credentials that were revoked are refused at once and for good; nobody else notices.

Each account's claims are changed while the broker runs and others use it.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from nats.aio.client import Client, RawCredentials

from squall.bus.connection import connect
from squall.bus.errors import AuthorizationError, ExpelledError, RequestError
from squall.bus.identity import ACCOUNT_STATISTICS, CLAIMS_UPDATE, CONNECTIONS, SYSTEM, Credentials
from squall.bus.jetstream import publish_once
from squall.bus.subjects import POOL, next_message
from squall.bus.system import Accounts, heard, statistics
from squall.bus.tasks import task_group, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

REFUSED_S = 1.0


@contextlib.asynccontextmanager
async def accounts_of(b: Any) -> AsyncIterator[Accounts]:
    async with (
        connect(b.broker.url, SYSTEM, b.authority.credentials(SYSTEM, None)) as connection,
        task_group() as tasks,
    ):
        accounts = Accounts(b.authority, connection)
        tasks.daemon(accounts.run())
        yield accounts


@contextlib.asynccontextmanager
async def client_of(b: Any, credentials: Credentials) -> AsyncIterator[Client]:
    """A plain client that does not come back by itself."""
    client = Client()

    async def ignore(error: Exception) -> None:
        del error

    await client.connect(
        b.broker.url,
        user_credentials=RawCredentials(credentials.creds_file()),
        inbox_prefix=credentials.inbox,
        allow_reconnect=False,
        connect_timeout=5,
        error_cb=ignore,
    )
    try:
        yield client
    finally:
        await client.close()


async def gets_in(b: Any, credentials: Credentials) -> bool:
    try:
        async with connect(b.broker.url, credentials.name, credentials):
            return True
    except AuthorizationError:
        return False


async def is_closed(client: Client) -> bool:
    return client.is_closed


async def test_all_that_a_node_had_is_refused_and_what_it_gets_next_is_good_in_the_same_second(
    bus: Any,
) -> None:
    node = "agent-1"
    async with bus(agents=2) as b, accounts_of(b) as accounts:
        first, renewed = (b.authority.credentials(node, 600) for _ in range(2))
        async with client_of(b, first) as one, client_of(b, renewed) as two:
            revoked_s = time.monotonic()
            accounts.revoke(node)
            for client in (one, two):
                await wait_until(
                    lambda client=client: is_closed(client), bool, timeout_s=10, what="a closed connection"
                )
            assert time.monotonic() - revoked_s < REFUSED_S
        assert await accounts.settled(5)
        for _ in range(5):  # whatever the second
            fresh = b.authority.credentials(node, 600)
            assert await gets_in(b, fresh)
            assert not await gets_in(b, first)
            assert not await gets_in(b, renewed)
            accounts.revoke(node)
            assert await accounts.settled(5)
            assert not await gets_in(b, fresh)


async def test_a_change_that_comes_while_another_is_on_its_way_is_made_too(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        bus(agents=2) as b,
        connect(b.broker.url, SYSTEM, b.authority.credentials(SYSTEM, None)) as connection,
        task_group() as tasks,
    ):
        accounts = Accounts(b.authority, connection)
        between: list[Credentials] = []
        request = connection.request

        async def request_and_revoke(*args: Any, **how: Any) -> Any:
            answer = await request(*args, **how)
            if not between:
                between.append(b.authority.credentials("agent-1", 600))
                accounts.revoke("agent-1")
            return answer

        monkeypatch.setattr(connection, "request", request_and_revoke)
        accounts.revoke("agent-1")
        tasks.daemon(accounts.run())
        assert await accounts.settled(10)
        assert not await gets_in(b, between[0])
        assert await gets_in(b, b.authority.credentials("agent-1", 600))


async def test_an_expelled_node_has_no_way_back(bus: Any) -> None:
    async with bus(agents=2) as b, accounts_of(b) as accounts:
        had = b.authority.credentials("agent-1", None)
        async with client_of(b, had) as client:
            accounts.expel("agent-1")
            await wait_until(lambda: is_closed(client), bool, timeout_s=10, what="a closed connection")
        assert await accounts.settled(5)
        with pytest.raises(ExpelledError, match="agent-1 was put out"):
            b.authority.credentials("agent-1", 60)
        accounts.revoke("agent-1")
        assert await accounts.settled(5)
        with pytest.raises(ExpelledError):
            b.authority.credentials("agent-1", 60)
        assert not await gets_in(b, had)
        assert await gets_in(b, b.authority.credentials("agent-2", 60))


async def test_a_killed_broker_comes_back_without_what_was_revoked(bus: Any) -> None:
    """Also where the revocation fell into the time that it was away."""
    async with bus(alone=True, agents=3) as b, accounts_of(b) as accounts:
        had = {f"agent-{n}": b.authority.credentials(f"agent-{n}", None) for n in (1, 2, 3)}
        accounts.revoke("agent-1")
        assert await accounts.settled(5)
        incarnation = b.broker.incarnation
        b.broker.signal(signal.SIGKILL)
        accounts.expel("agent-2")

        async def starts() -> int:
            return b.broker.incarnation

        await wait_until(starts, lambda n: n > incarnation, timeout_s=30, what="the broker")
        assert not await gets_in(b, had["agent-1"])
        assert not await gets_in(b, had["agent-2"])
        assert await gets_in(b, had["agent-3"])
        assert await accounts.settled(30)
        assert not await gets_in(b, had["agent-1"])
        assert not await gets_in(b, had["agent-2"])
        for node in ("agent-1", "agent-3"):
            assert await gets_in(b, b.authority.credentials(node, 60))


async def test_what_a_server_kept_of_its_own_accord_does_not_outlive_the_authority(bus: Any) -> None:
    """The broker's own copy may be older than a revocation that never reached it."""
    async with bus(alone=True, agents=1) as b:
        had = b.authority.credentials("agent-1", None)
        b.authority.revoke("agent-1")  # told to nobody
        assert await gets_in(b, had)
        incarnation = b.broker.incarnation
        b.broker.signal(signal.SIGKILL)

        async def starts() -> int:
            return b.broker.incarnation

        await wait_until(starts, lambda n: n > incarnation, timeout_s=30, what="the broker")
        assert not await gets_in(b, had)


async def test_nobody_else_notices_that_a_node_is_revoked(bus: Any) -> None:
    """Neither a request through an import nor an open pull is lost when a neighbour's claims change."""
    async with (
        bus(agents=2) as b,
        accounts_of(b) as accounts,
        b.connect("agent-2") as agent,
        b.connect("coordinator-1") as coordinator,
    ):
        delivered: list[bytes] = []
        await agent.subscribe("p", lambda message: delivered.append(message.data), private=True)
        await agent.publish(
            next_message(b.swarm.stream("WK"), POOL),
            b'{"batch": 8, "expires": 5000000000}',
            reply=f"{agent.private_inbox}.p",
        )
        for number in range(8):
            accounts.revoke("agent-1")
            writes = (
                publish_once(agent, b.swarm.register("0", f"t{number}"), b"x", timeout_s=5),
                publish_once(coordinator, b.swarm.dispatch("j", "k", f"t{number}"), b"x", timeout_s=5),
            )
            outcomes = await asyncio.gather(*writes)
            assert [outcome.kind for outcome in outcomes] == ["stored", "stored"]
            assert await accounts.settled(10)

        async def deliveries() -> int:
            return len(delivered)

        await wait_until(deliveries, lambda n: n == 8, timeout_s=10, what="what was dispatched")
        assert agent.counters["reconnects"] == coordinator.counters["reconnects"] == 0


async def test_the_command_may_change_accounts_and_count_and_nothing_else(bus: Any) -> None:
    async with (
        bus(agents=2) as b,
        connect(b.broker.url, SYSTEM, b.authority.credentials(SYSTEM, None)) as system,
        b.connect("agent-1") as agent,
    ):
        server, before = await statistics(system)
        for _ in range(10):
            await agent.publish(b.swarm.heartbeat("agent", "agent-1"), b"x" * 100)
        account = b.authority.account("agent-1")

        async def sent() -> int:
            same, after = await statistics(system)
            assert same == server
            assert after[account].sent_bytes >= 100 * after[account].sent
            return after[account].sent - before[account].sent

        await wait_until(sent, lambda n: n == 10, timeout_s=10, what="what the agent has sent")
        for subject in ("$SYS.REQ.SERVER.PING", "$SYS.REQ.CLAIMS.DELETE", "$SYS.REQ.CLAIMS.LIST"):
            with pytest.raises(RequestError):
                await system.request(subject, b"", timeout_s=0.5)


async def test_how_much_the_broker_had_from_a_node_is_its_own_count(bus: Any) -> None:
    async with bus(agents=2) as b, b.connect(SYSTEM) as system, b.connect("agent-1") as agent:
        before = await heard(system, "agent-1")
        for _ in range(10):
            await agent.publish(b.swarm.heartbeat("agent", "agent-1"), b"x")

        async def more() -> int:
            return await heard(system, "agent-1") - before

        await wait_until(more, lambda n: n == 10, timeout_s=10, what="what the broker had from the agent")
        assert await heard(system, "agent-2") == 0


@pytest.mark.parametrize("subject", [CLAIMS_UPDATE, ACCOUNT_STATISTICS, CONNECTIONS])
@pytest.mark.parametrize("node", ["agent-1", "coordinator-1", "observer", "launcher", "warden"])
async def test_no_node_may_change_accounts(bus: Any, node: str, subject: str) -> None:
    async with bus(agents=1) as b, b.connect(node) as connection:
        with pytest.raises(RequestError):
            await connection.request(subject, b"", timeout_s=0.5)
