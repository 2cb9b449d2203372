"""Agents of others on a broker of the user's: absent at first, stopped, killed; each task is done once."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.brokers import outside
from tests.scenarios.quick import QUICK
from tests.scenarios.test_any_agent import of_handler, verdicts

pytestmark = [pytest.mark.nats, pytest.mark.anyio]

FIELDS = {**QUICK, "tasks": 100, "rate_per_s": 50.0, "slots": 4, "attempts": 3, "handler_timeout_s": 3.0}


class Program:
    """A program that is started, told to stop, or killed."""

    def __init__(self, name: str) -> None:
        self._path = Path(__file__).parent / name
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, url: str, *creds: str) -> None:
        self._process = subprocess.Popen([sys.executable, "-I", str(self._path), url, *creds])

    def end(self, number: int) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(timeout=10)


@pytest.fixture
def program(request: pytest.FixtureRequest) -> Iterator[Program]:
    program = Program(request.param)
    yield program
    program.end(signal.SIGKILL)


@pytest.mark.parametrize(
    ("program", "handler"),
    [
        pytest.param("documented_responder.py", "nats:prices.decide", marks=pytest.mark.everything),
        ("hosted_agent.py", "agent:pricer/me/main"),
    ],
    indirect=["program"],
    ids=["responder", "agent"],
)
async def test_an_agent_of_others_loses_and_doubles_nothing(
    squall_run: Any, program: Program, handler: str, tmp_path: Path
) -> None:
    """Away for longer than all attempts last, stopped politely in mid-answer, killed, and a worker too."""
    async with outside(tmp_path / "broker") as broker:
        tasks = tmp_path / "tasks.jsonl"
        tasks.write_text(
            "\n".join(f'{{"id": "t-{n}", "key": "k-{n % 20}", "body": {{}}}}' for n in range(100))
        )
        where = {"tasks": str(tasks), "handler_server": broker.url}
        run = squall_run({**FIELDS, **where, "handler": handler})

        async def until(seen: Any, what: str) -> None:
            await asyncio.to_thread(run.wait_for, seen, what)

        await until(lambda: len(run.lines("absent")) > 10, "tasks for which it was not there")
        assert run.lines("commit") == []
        program.start(broker.url)
        await until(lambda: len(run.lines("commit")) > 20, "tasks that are done")
        program.end(signal.SIGTERM)
        program.start(broker.url)
        await until(lambda: len(run.lines("commit")) > 40, "more that are")
        run.signal("agent-2", signal.SIGKILL)
        program.end(signal.SIGKILL)
        killed_s = time.time()
        await until(
            lambda: any(line["time_s"] > killed_s for line in run.lines("absent")), "tasks that miss it"
        )
        program.start(broker.url)
        document = await asyncio.to_thread(run.end, 120)
    counted = {name: document[name] for name in ("accepted", "effects", "lost", "duplicated", "dead_letters")}
    assert counted == {"accepted": 100, "effects": 100, "lost": 0, "duplicated": 0, "dead_letters": 0}
    assert "W1" not in verdicts(document), of_handler(document)
    assert "it was not there, and no attempt was used up" in of_handler(document)
