"""The embedded server: one a store, back after a kill, gone with its parent; what credentials are worth."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client, RawCredentials
from nats.errors import Error as NatsError

from squall.bus import subjects
from squall.bus.broker import STOP_S, Broker, find_server, jetstream_probe
from squall.bus.errors import BrokerError
from squall.bus.guard import Guard
from squall.bus.identity import CONNECTIONS_MAX, Authority, Credentials
from squall.bus.subjects import GATEWAY, POOL, Subjects
from squall.bus.tasks import wait_until
from squall.bus.topology.hierarchical import hierarchical
from squall.bus.topology.model import Topology

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

SWARM = Subjects("demo")
TOPOLOGY = hierarchical("demo", agents=2)

PARENT = """
import asyncio, sys
from pathlib import Path
from squall.bus.broker import Broker, jetstream_probe
from squall.bus.guard import Guard
from squall.bus.identity import Authority
from squall.bus.topology.hierarchical import hierarchical

async def main(state):
    authority = Authority.create(hierarchical("demo", agents=2))
    async with (
        Guard() as guard,
        Broker.running(
            state, lambda: authority.server_config(state / "jwt"), guard=guard, log=state / "log",
            probe=jetstream_probe(lambda: authority.credentials("launcher", 60.0)),
        ) as broker,
    ):
        print(broker.pid, broker.url, guard._process.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@contextlib.asynccontextmanager
async def running(
    state: Path,
    *,
    topology: Topology = TOPOLOGY,
    extra: str = "",
    on_start: Callable[[int, int], None] | None = None,
) -> AsyncIterator[tuple[Broker, Authority]]:
    authority = Authority.create(topology)
    async with (
        Guard() as guard,
        Broker.running(
            state,
            lambda: authority.server_config(state / "jwt") + extra,
            guard=guard,
            log=state / "log",
            probe=jetstream_probe(lambda: authority.credentials("launcher", 60.0)),
            on_start=on_start,
        ) as broker,
    ):
        yield broker, authority


class Peer:
    """A plain nats-py client, and what the broker told it."""

    def __init__(self, credentials: Credentials) -> None:
        self.client = Client()
        self.inbox = credentials.inbox
        self.errors: list[str] = []

    async def _on_error(self, error: Exception) -> None:
        self.errors.append(str(error))

    async def settled(self) -> list[str]:
        """What the broker complained of so far. Twice: nats-py sends a PING ahead of what is pending."""
        await self.client.flush()
        await self.client.flush()
        return self.errors

    async def ask(self, subject: str, content: object = None, headers: dict[str, str] | None = None) -> Any:
        data = b"" if content is None else json.dumps(content).encode()
        return json.loads((await self.client.request(subject, data, timeout=5, headers=headers)).data)


@contextlib.asynccontextmanager
async def connected(url: str, credentials: Credentials) -> AsyncIterator[Peer]:
    peer = Peer(credentials)
    try:
        await peer.client.connect(
            url,
            user_credentials=RawCredentials(credentials.creds_file()),
            inbox_prefix=credentials.inbox,
            allow_reconnect=False,
            error_cb=peer._on_error,
        )
        yield peer
    finally:
        await peer.client.close()


async def create_streams(launcher: Peer) -> None:
    """The streams and durable consumers of a hierarchical swarm, as its launcher makes them."""
    limits = {"storage": "file", "num_replicas": 1, "max_bytes": 1 << 24}
    source, destination = SWARM.work_transform
    streams: list[dict[str, Any]] = [
        {"name": "IN", "subjects": [SWARM.ingress]},
        {"name": "JOB", "subjects": [SWARM.jobs]},
        {
            "name": "WK",
            "retention": "workqueue",
            "sources": [
                {
                    "name": SWARM.stream("JOB"),
                    "subject_transforms": [{"src": source, "dest": destination}],
                }
            ],
        },
        {
            "name": "RES",
            "subjects": [SWARM.registers],
            "max_msgs_per_subject": 1,
            "discard": "new",
            "discard_new_per_subject": True,
        },
    ]
    for stream in streams:
        name = SWARM.stream(stream["name"])
        answer = await launcher.ask(
            subjects.api("STREAM", "CREATE", name), {**limits, **stream, "name": name}
        )
        assert "error" not in answer, answer
    for plane, consumer in (("WK", POOL), ("RES", GATEWAY)):
        stream_name = SWARM.stream(plane)
        answer = await launcher.ask(
            subjects.api("CONSUMER", "CREATE", stream_name, consumer),
            {
                "stream_name": stream_name,
                "action": "create",
                "config": {"durable_name": consumer, "name": consumer, "ack_policy": "explicit"},
            },
        )
        assert "error" not in answer, answer


async def stored(launcher: Peer, plane: str) -> int:
    answer = await launcher.ask(subjects.api("STREAM", "INFO", SWARM.stream(plane)))
    return int(answer["state"]["messages"])


def listens(url: str) -> bool:
    host, port = url.removeprefix("nats://").split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0):
        return True
    return False


def executable(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return path


# The server's life.


async def test_a_second_run_on_the_same_store_is_refused(tmp_path: Path) -> None:
    async with running(tmp_path / "state"):
        with pytest.raises(BrokerError, match=r"another run uses .*state"):
            async with running(tmp_path / "state"):
                pytest.fail("two servers on one store")


async def test_a_killed_server_comes_back_on_its_port_with_what_it_stored(tmp_path: Path) -> None:
    starts: list[tuple[int, int]] = []
    async with running(tmp_path, on_start=lambda *start: starts.append(start)) as (broker, authority):
        url, first = broker.url, broker.pid
        async with connected(url, authority.credentials("launcher", None)) as launcher:
            await create_streams(launcher)
        async with connected(url, authority.credentials("agent-1", None)) as agent:
            assert (await agent.ask(SWARM.register("7", "t-1"), "result"))["seq"] == 1

        os.kill(first, signal.SIGKILL)

        async def incarnation() -> int:
            return broker.incarnation

        await wait_until(incarnation, lambda n: n == 2, timeout_s=10.0, what="the second start", every_s=0.01)
        assert broker.url == url
        assert starts == [(first, 1), (broker.pid, 2)]
        assert first != broker.pid
        async with connected(url, authority.credentials("launcher", None)) as launcher:
            assert await stored(launcher, "RES") == 1


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
async def test_a_killed_parent_leaves_no_server(tmp_path: Path, paused: bool) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, str(tmp_path), stdout=PIPE)
    assert parent.stdout is not None
    pid, url, _ = (await parent.stdout.readline()).decode().split()
    assert listens(url)
    if paused:
        os.kill(int(pid), signal.SIGSTOP)

    parent.kill()
    await parent.communicate()

    async def look() -> bool:
        return listens(url)

    await wait_until(look, lambda up: not up, timeout_s=5.0, what="the server to be gone", every_s=0.01)
    async with running(tmp_path):  # its lock is free as well
        pass


async def test_a_store_is_not_free_before_its_server_is_gone(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, str(tmp_path), stdout=PIPE)
    assert parent.stdout is not None
    guard_pid = int((await parent.stdout.readline()).decode().split()[2])
    os.kill(guard_pid, signal.SIGSTOP)  # so that the server outlives its parent for a while
    try:
        parent.kill()
        await parent.communicate()
        with pytest.raises(BrokerError, match="another run uses"):
            async with running(tmp_path):
                pytest.fail("two servers on one store")
    finally:
        os.kill(guard_pid, signal.SIGCONT)
    async with running(tmp_path):
        pass


async def test_a_paused_server_is_stopped_without_being_killed(tmp_path: Path) -> None:
    async with running(tmp_path) as (broker, _):
        started_s = time.monotonic()
        os.kill(broker.pid, signal.SIGSTOP)
    assert time.monotonic() - started_s < STOP_S
    assert not listens(broker.url)
    assert "Server Exiting" in (tmp_path / "log").read_text()


async def test_a_server_that_cannot_come_back_ends_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = executable(tmp_path / "nats-server", f'exec {find_server()} "$@"')
    monkeypatch.setenv("NATS_SERVER", str(program))

    async def lose_it() -> None:
        async with asyncio.timeout(10.0), running(tmp_path / "state") as (broker, _):
            program.unlink()
            os.kill(broker.pid, signal.SIGKILL)
            await asyncio.Event().wait()

    with pytest.raises(BrokerError, match="nats-server cannot be run"):
        await lose_it()


async def test_a_port_that_is_taken_meanwhile_ends_the_block(tmp_path: Path) -> None:
    async def lose_it(thief: socket.socket) -> None:
        async with asyncio.timeout(10.0), running(tmp_path) as (broker, _):
            port = int(broker.url.rsplit(":", 1)[1])
            os.kill(broker.pid, signal.SIGKILL)

            async def steal() -> bool:
                with contextlib.suppress(OSError):
                    thief.bind(("127.0.0.1", port))
                    thief.listen()
                    return True
                return False

            await wait_until(steal, bool, timeout_s=5.0, what="the port to be free", every_s=0.001)
            await asyncio.Event().wait()

    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with pytest.raises(BrokerError, match="was taken by another program"):
            await lose_it(thief)


async def test_a_server_that_dies_at_once_is_quoted(tmp_path: Path) -> None:
    with pytest.raises(BrokerError, match=r"5 starts.*no_such_option"):
        async with running(tmp_path, extra="no_such_option: 1\n"):
            pytest.fail("started with an unusable configuration")


async def test_the_state_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    async with running(tmp_path / "state") as (broker, _):
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "state" / "nats-server.conf").stat().st_mode & 0o777 == 0o600
        assert broker.store.is_dir()


async def test_a_server_of_another_name_is_as_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nats-server-2.15 [mine]"
    shutil.copyfile(find_server(), program)
    program.chmod(0o700)
    monkeypatch.setenv("NATS_SERVER", str(program))
    async with asyncio.timeout(10.0), running(tmp_path / "state") as (broker, _):
        os.kill(broker.pid, signal.SIGKILL)
        await broker.ended()

        async def incarnation() -> int:
            return broker.incarnation

        await wait_until(incarnation, lambda n: n == 2, timeout_s=5.0, what="the second start")


# What cannot start says so in a sentence.


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (None, "is no file; correct or unset it"),
        ("", "is not executable; run `chmod"),
        ("echo nats-server: v2.11.9", "is version 2.11.9, without atomic batches; install nats-server 2.12"),
        ("echo hello", "is no nats-server: asked for its version, it said 'hello'"),
    ],
    ids=["missing", "not-executable", "old", "other"],
)
async def test_an_unusable_program_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, message: str
) -> None:
    program = tmp_path / "nats-server"
    if script is not None:
        executable(program, script)
    if script == "":
        program.chmod(0o600)
    monkeypatch.setenv("NATS_SERVER", str(program))

    with pytest.raises(BrokerError, match=message):
        async with running(tmp_path / "state"):
            pytest.fail("started")


async def test_a_directory_that_cannot_be_written_is_named() -> None:
    with pytest.raises(BrokerError, match=r"cannot keep its files in /proc/squall"):
        async with running(Path("/proc/squall")):
            pytest.fail("started")


async def test_leaving_a_guard_ends_its_children_and_theirs(tmp_path: Path) -> None:
    async with Guard() as guard:
        child = await guard.spawn("/bin/sh", "-c", "sleep 600 & echo $!; wait", stdout=PIPE)
        assert child.stdout is not None
        await child.stdout.readline()
    assert child.returncode == -signal.SIGKILL
    assert await child.stdout.read() == b""  # ends only once the grandchild, which holds it too, is gone


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
