"""Programs and services as handlers of a swarm that works: killed, cut off, not there at first."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.quick import QUICK

pytestmark = pytest.mark.nats

FIELDS = {**QUICK, "tasks": 100, "rate_per_s": 50.0, "slots": 4, "attempts": 3, "handler_timeout_s": 10.0}

AGENTS = Path(__file__).parent / "agents_of_others"


def in_shell(folder: Path) -> str:
    return f"exec:sh {AGENTS / 'agent.sh'}"


def in_node(folder: Path) -> str:
    node = shutil.which("node") or pytest.skip("there is no node here")
    return f"exec:{node} {AGENTS / 'agent.js'}"


def in_go(folder: Path) -> str:
    go = shutil.which("go") or pytest.skip("there is no go here")
    program = folder / "agent"
    subprocess.run([go, "build", "-o", program, AGENTS / "agent.go"], check=True, timeout=120)
    return f"exec:{program}"


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    """Those that are no pass; nobody's seat is taken, so that H4 says nothing."""
    checks = {check["id"]: check["verdict"] for check in document["checks"]}
    return {name: verdict for name, verdict in checks.items() if verdict != "pass" and name != "H4"}


def of_handler(document: dict[str, Any]) -> str:
    return next(str(check["detail"]) for check in document["checks"] if check["id"] == "W1")


def programs_of(agent: int) -> list[int]:
    """The processes that an agent's process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[1]) == agent and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def shot(agent: int) -> bool:
    """Kill a program of an agent's; whether one was there still, as each ends by itself now and then."""
    for program in programs_of(agent):
        with contextlib.suppress(ProcessLookupError):
            os.kill(program, signal.SIGKILL)
            return True
    return False


@pytest.mark.parametrize(
    "made",
    [
        in_shell,
        pytest.param(in_node, marks=pytest.mark.everything),
        pytest.param(in_go, marks=pytest.mark.everything),
    ],
)
def test_a_program_that_is_killed_in_mid_answer_loses_and_doubles_nothing(
    squall_run: Any, tmp_path: Path, is_alive: Any, made: Callable[[Path], str]
) -> None:
    """By itself in the middle of a line, from outside, and with the worker that fronts it."""
    # One task may end by itself, be shot, and lose its worker: those are three attempts.
    run = squall_run({**FIELDS, "attempts": 5, "handler": made(tmp_path)})
    run.wait_for(lambda: len(run.lines("commit")) > 20, "tasks that are done")
    run.wait_for(lambda: shot(run.nodes()["agent-1"]["pid"]), "a program of the agent's that is killed")
    fronted = run.wait_for(lambda: programs_of(run.nodes()["agent-2"]["pid"]), "programs of the other agent")
    run.signal("agent-2", signal.SIGKILL)
    document = run.end(120)
    counted = {name: document[name] for name in ("accepted", "effects", "lost", "duplicated", "dead_letters")}
    assert counted == {"accepted": 100, "effects": 100, "lost": 0, "duplicated": 0, "dead_letters": 0}
    assert "W1" not in verdicts(document), of_handler(document)
    assert "and their tasks ended well after that" in of_handler(document)
    reasons = Counter(line["reason"].partition(":")[0] for line in run.lines("handler"))
    assert reasons["the handler was ended by signal 9 in the middle of an answer"] >= 1
    assert [pid for pid in fronted if is_alive(pid)] == []
    assert "ends here" in "".join((run.path / "logs" / f"agent-{n}.log").read_text() for n in (1, 2))


class Service:
    """The service of `service_under_test.py`, on a port of its own."""

    def __init__(self) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            self.port = held.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = Path(__file__).parent / "service_under_test.py"
        self._process = subprocess.Popen([sys.executable, "-I", str(program), str(self.port)])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def service() -> Any:
    service = Service()
    yield service
    service.kill()


@pytest.mark.parametrize("pattern", ["hierarchical", "mesh"])
def test_a_service_that_is_away_at_first_and_killed_later_loses_and_doubles_nothing(
    squall_run: Any, service: Service, pattern: str
) -> None:
    """It is away for longer than all attempts together would last, and no task is dead for it."""
    fields = {**FIELDS, "handler": f"http://127.0.0.1:{service.port}/decide", "pattern": pattern}
    if pattern == "mesh":  # peers that ask for an opinion each, and have no leader
        fields = {**fields, "agents": 3, "rate_per_s": 25.0}
        del fields["coordinators"], fields["pause_leader"]
    run = squall_run(fields)
    run.wait_for(lambda: len(run.lines("absent")) > 10, "tasks for which it was not there")
    assert run.lines("commit") == []
    service.start()
    run.wait_for(lambda: len(run.lines("commit")) > 40, "tasks that are done")
    service.kill()
    killed_s = time.time()
    run.wait_for(
        lambda: any(line["time_s"] > killed_s for line in run.lines("absent")), "tasks that miss it again"
    )
    service.start()
    document = run.end(120)
    counted = {name: document[name] for name in ("accepted", "lost", "duplicated", "dead_letters")}
    assert counted == {"accepted": 100, "lost": 0, "duplicated": 0, "dead_letters": 0}
    assert "W1" not in verdicts(document), of_handler(document)
    if pattern == "mesh":  # what a peer's handler failed at, the peer has abstained from
        assert 0 < document["effects"] <= 100
    else:
        assert document["effects"] == 100
        assert verdicts(document) == {}
    assert "it was not there, and no attempt was used up" in of_handler(document)


def test_a_program_that_is_not_there_is_told_before_anything_starts(squall_run: Any) -> None:
    run = squall_run({**FIELDS, "handler": "exec:no-such-agent"})
    error = run.end(60)["error"]
    assert run.process.returncode == 2
    assert error["message"] == "there is no program no-such-agent"
    assert "PATH" in error["remedy"]
    assert run.nodes() == {}
