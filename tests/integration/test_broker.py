"""The broker's life: who starts it, who ends it, who owns its store, and what it says that cannot start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import time
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from tests.integration.brokers import SWARM, connected, create_streams, executable, listens, running, stored

from squall.bus.broker import STOP_S, find_server
from squall.bus.errors import BrokerError
from squall.bus.guard import Guard
from squall.bus.tasks import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


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
