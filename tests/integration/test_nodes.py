"""Processes of nodes: their end, what they leave behind, and what they are told and say."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from squall.bus.guard import Guard, seen
from squall.bus.tasks import wait_until
from squall.services.errors import SpecError
from squall.services.launch import piped
from squall.services.launch.processes import ProcessLauncher, ProcessUnit
from squall.services.node.control import ORPHANED
from squall.services.node.service import NodeStart, VenueToken
from squall.services.patterns.hierarchical import HierarchicalSpec

pytestmark = pytest.mark.anyio


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def gone(*pids: int) -> None:
    async def living() -> list[int]:
        return [pid for pid in pids if is_alive(pid)]

    await wait_until(living, lambda left: not left, timeout_s=10, what="the end of what was left behind")


async def number_from(process: Process) -> int:
    assert process.stdout is not None
    return int(await process.stdout.readline())


# The end of a node.


async def test_the_end_of_a_child_is_its_own_and_ends_what_holds_its_pipes() -> None:
    async with Guard() as guard:
        child = await guard.spawn("/bin/sh", "-c", "sleep 600 & echo $!; exit 3", stdout=PIPE)
        left = await number_from(child)
        assert await child.wait() == 3
        await gone(left)


LOOPS = """
import asyncio, sys, uvloop
from asyncio.subprocess import PIPE
from squall.bus.guard import Guard

async def main():
    async with Guard() as guard:
        ended = await guard.spawn("/bin/sh", "-c", "sleep 600 & echo $!; exit 3", stdout=PIPE)
        left = (await ended.stdout.readline()).decode().strip()
        status = await ended.wait()
        guard.release(ended.pid)
        living = await guard.spawn("/bin/sleep", "600")
        with open(f"/proc/{living.pid}/stat"):
            pass
    print(status, living.returncode, left, living.pid, flush=True)

(uvloop.run if sys.argv[1] == "uvloop" else asyncio.run)(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_a_guard_ends_its_children_and_not_its_own_process_on_either_loop(loop: str) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", LOOPS, loop, stdout=PIPE)
    out, _ = await parent.communicate()
    assert parent.returncode == 0
    status, killed, *pids = [int(word) for word in out.split()]
    assert (status, killed) == (3, -signal.SIGKILL)
    await gone(*pids)


async def test_what_left_the_session_of_a_child_ends_with_it_and_nobody_elses_does() -> None:
    leaves = "setsid sleep 600 & echo $!; exec sleep 600"
    async with Guard() as guard, Guard() as other:
        child, neighbour = [await g.spawn("/bin/sh", "-c", leaves, stdout=PIPE) for g in (guard, other)]
        sibling = await guard.spawn("/bin/sh", "-c", leaves, stdout=PIPE)
        left, neighbours, siblings = [await number_from(c) for c in (child, neighbour, sibling)]
        child.kill()
        await child.wait()
        guard.release(child.pid)
        await gone(left)
        assert is_alive(neighbours)
        assert is_alive(siblings)
    assert not is_alive(siblings)
    assert not is_alive(neighbours)


PARENT = """
import asyncio
from asyncio.subprocess import PIPE
from squall.bus.guard import Guard

async def main():
    async with Guard() as guard:
        child = await guard.spawn("/bin/sh", "-c", "setsid sleep 600 & echo $!; exec sleep 600", stdout=PIPE)
        print((await child.stdout.readline()).decode().strip(), child.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_what_left_the_session_ends_with_a_parent_that_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=PIPE)
    assert parent.stdout is not None
    pids = [int(word) for word in (await parent.stdout.readline()).split()]
    parent.kill()
    await parent.wait()
    await gone(*pids)


async def test_a_sealed_process_leaves_no_core_and_shows_nobody_its_memory() -> None:
    shown = (
        "import ctypes, resource; from squall.bus.guard_process import seal; seal();"
        "print(ctypes.CDLL(None).prctl(3), *resource.getrlimit(resource.RLIMIT_CORE))"
    )
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", shown, stdout=PIPE)
    assert (await child.communicate())[0].split() == [b"0", b"0", b"0"]


# Its start.


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import time\ntime.sleep(600)\n", "its module takes more than 5 s"),
        ("import ctypes\nctypes.string_at(0)\n", "its module ended with status -11"),
    ],
)
async def test_a_module_that_is_never_imported_is_unusable_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, said: str
) -> None:
    monkeypatch.setattr(piped, "READY_S", 5.0)
    (tmp_path / "mine.py").write_text(source)
    spec = HierarchicalSpec(handler=f"{tmp_path}/mine.py:decide")
    async with Guard() as guard:
        with pytest.raises(SpecError, match=f"the handler .*mine.py:decide cannot be imported: {said}"):
            await ProcessLauncher(guard, tmp_path).start(
                NodeStart(spec=spec, node="agent-1", role="agent", incarnation=1)
            )


# What a node is told.


@contextlib.asynccontextmanager
async def venue(tmp_path: Path):  # type: ignore[no-untyped-def]
    """A node that needs no broker."""
    async with Guard() as guard:
        launcher = ProcessLauncher(guard, tmp_path)
        start = NodeStart(
            spec=HierarchicalSpec(),
            node="venue",
            role="venue",
            incarnation=1,
            path=str(tmp_path / "venue.sqlite"),
            venue_token=VenueToken("token"),
        )
        yield launcher, await launcher.start(start)


async def test_a_node_skips_what_is_no_order_and_goes_on_obeying(tmp_path: Path) -> None:
    async with venue(tmp_path) as (launcher, unit):
        for line in (b"garbage", b"{", b"[" * 100_000, b'{"stop": 7}', b"\xff\xfe", b"x" * 1_000_000, b""):
            unit.process.stdin.write(line + b"\n")
        await launcher.stop(unit, grace_s=20.0)
        assert unit.process.returncode == 0
    log = (tmp_path / "venue.log").read_text()
    assert log.count("a line that is no order is skipped") == 7
    assert "Traceback" not in log


async def test_a_node_that_was_told_garbage_still_ends_with_its_parent(tmp_path: Path) -> None:
    async with venue(tmp_path) as (_, unit):
        unit.process.stdin.write(b"garbage\n")
        unit.process.stdin.close()
        assert await unit.ended() == ORPHANED


async def test_what_a_node_makes_is_for_its_user_alone(tmp_path: Path) -> None:
    async with venue(tmp_path) as (launcher, unit):
        await launcher.stop(unit, grace_s=20.0)
    assert {name: mode_of(tmp_path / name) for name in ("venue.sqlite", "venue.log")} == {
        "venue.sqlite": 0o600,
        "venue.log": 0o600,
    }


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


FORKS = """
import os, socket, sys
from squall.services.node.control import Control, leave_broker_at_fork

control = Control.claim()
listener = socket.create_server(("127.0.0.1", 0))
other = socket.create_server(("127.0.0.1", 0))
broker, elsewhere = [socket.create_connection(s.getsockname()) for s in (listener, other)]
leave_broker_at_fork(f"nats://127.0.0.1:{listener.getsockname()[1]}")

def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True

watched = (control._orders, control._answers, broker.fileno(), elsewhere.fileno())
before = len(os.listdir("/proc/self/fd"))
pid = os.fork()
if pid == 0:
    print([is_open(d) for d in watched], before - len(os.listdir("/proc/self/fd")), repr(sys.stdin.read()))
    sys.stdout.flush()
    os._exit(0)
os.waitpid(pid, 0)
print([is_open(d) for d in watched], next(control.lines()))
"""


async def test_what_a_node_forks_has_neither_its_orders_nor_its_connection(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        node = await asyncio.create_subprocess_exec(
            sys.executable, "-c", FORKS, stdin=PIPE, stdout=PIPE, stderr=stderr
        )
    out, _ = await node.communicate(b"an order\n")
    assert out == b"", "what is printed goes to the log"
    forked, own = log.read_text().splitlines()
    assert forked == "[False, False, False, True] 3 ''"
    assert own == "[True, True, True, True] b'an order'"


STARTS = """
import os, subprocess, sys
from squall.services.node.control import Control

control = Control.claim()
kept = [os.readlink(f"/proc/self/fd/{d}") for d in (control._orders, control._answers)]
lists = (
    "import os\\n"
    "for d in range(64):\\n"
    " try: print(os.readlink(f'/proc/self/fd/{d}'))\\n"
    " except OSError: pass"
)
started = subprocess.run([sys.executable, "-c", lists], close_fds=False, stdout=subprocess.PIPE, text=True)
print(len(kept), [pipe for pipe in kept if pipe in started.stdout], "/dev/null" in started.stdout)
"""


async def test_what_a_node_starts_has_not_its_orders_though_nothing_is_closed_for_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        node = await asyncio.create_subprocess_exec(
            sys.executable, "-c", STARTS, stdin=PIPE, stdout=PIPE, stderr=stderr
        )
    await node.communicate(b"an order\n")
    assert log.read_text().strip() == "2 [] True"


# What a node says.

SAYS = """
import os, signal, sys
say = lambda line: (sys.stdout.buffer.write(line + b"\\n"), sys.stdout.flush())
for line in (b"garbage", b"", b"[" * 100000, b"\\xff", b"x" * 5000000):
    say(line)
for point in (b"7", b'"no.such.point"', b'"agent.committed"'):
    say(b'{"answer":"halted","point":' + point + b"}")
sys.stdin.readline()
say(b'{"answer":"halted","point":"agent.executed"}')
os.kill(os.getpid(), signal.SIGSTOP)
sys.stdin.readline()
"""


async def test_a_point_is_believed_once_the_node_is_seen_to_stand_still(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with Guard() as guard:
        launcher = ProcessLauncher(guard, tmp_path)
        process = await guard.spawn(sys.executable, "-c", SAYS, stdin=PIPE, stdout=PIPE)
        assert process.stdin is not None
        unit = ProcessUnit("agent-1", process)
        ending = asyncio.create_task(unit.ended())
        halting = asyncio.create_task(launcher.halted(unit))

        async def disbelieved() -> bool:
            return "stands still at agent.committed, and does not" in caplog.text

        await wait_until(disbelieved, bool, timeout_s=30, what="the false claim to be seen through")
        process.stdin.write(b"go on\n")
        assert await halting == "agent.executed"
        assert caplog.text.count("says what is no answer") == 1
        assert await launcher.thaw(unit)
        process.stdin.close()
        assert await ending == 0
        assert await launcher.halted(unit) is None


HELD_UP = """
import faulthandler, re, sys
faulthandler.enable()
print('{"answer":"alive"}', flush=True)
re.match("(a*)*b", "a" * 40)
"""


async def test_a_process_that_is_held_up_is_ended_and_its_log_says_where(tmp_path: Path) -> None:
    async with Guard() as guard:
        log = tmp_path / "log"
        with log.open("wb") as stderr:
            process = await guard.spawn(sys.executable, "-c", HELD_UP, stdout=PIPE, stderr=stderr)
        assert await ProcessUnit("agent-1", process, silence_s=1.0).ended() == -signal.SIGABRT
        assert "re/__init__.py" in log.read_text().replace(os.sep, "/")


async def test_a_process_that_we_made_stand_still_is_not_ended_for_its_silence(tmp_path: Path) -> None:
    async with Guard() as guard:
        process = await guard.spawn("/bin/sleep", "600", stdout=PIPE)
        launcher = ProcessLauncher(guard, tmp_path)
        unit = ProcessUnit("agent-1", process, silence_s=1.0)
        assert await launcher.freeze(unit)
        ending = asyncio.create_task(unit.ended())
        _, pending = await asyncio.wait({ending}, timeout=2.5)
        assert pending
        assert await seen(process.pid, stopped=True)
        assert await launcher.thaw(unit)
        assert await ending == -signal.SIGABRT
