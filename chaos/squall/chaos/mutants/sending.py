"""Known-bad variants of what is done at a sink that is somebody else's, whatever the pattern."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from squall.chaos.mutants.mutant import LATE, Mutant
from squall.services.handlers import Task

HERE = "squall.chaos.mutants"

STOP_S = 5.0

SLOWLY: Mapping[str, Any] = {"rate_per_s": 60.0}
"""The sink is a small one, and shares the machine with the swarm."""


@contextlib.contextmanager
def failing_sink(run: Path) -> Iterator[Mapping[str, Any]]:
    """A sink that fails as sinks do, with a journal beside the run's directory."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    run.parent.mkdir(parents=True, exist_ok=True)
    journal = run.with_name(f"{run.name}-sink.jsonl")
    program = [sys.executable, "-m", f"{HERE}.failing_sink", str(port), str(journal)]
    with subprocess.Popen(program, stdin=subprocess.DEVNULL) as process:
        try:
            yield {"effects": f"http://127.0.0.1:{port}/effects", "effects_journal": str(journal.absolute())}
        finally:
            process.kill()
            process.wait(STOP_S)


def decide(task: Task) -> dict[str, Any]:
    """One effect for each task; of the first of an account, one that the sink never takes."""
    return {"task": task.id, "n": task.number, "bad": task.number == 1 and task.key.startswith("a000")}


def sending(*, loss: str, one_effect: str) -> tuple[Mutant, ...]:
    """The variants.

    Args:
        loss, one_effect: The pattern's checks that nothing is lost, and that nothing is carried out twice.
    """
    return (
        Mutant(
            "key-from-attempt",
            "makes the key of an effect from how often it was sent",
            (one_effect,),
            LATE,
            module=f"{HERE}.key_from_attempt",
            setting=SLOWLY,
            beside=failing_sink,
        ),
        Mutant(
            "refused-for-ever",
            "sends what a sink has refused again and again",
            (loss,),
            LATE,
            module=f"{HERE}.refused_for_ever",
            setting={**SLOWLY, "handler": f"{HERE}.sending:decide"},
            beside=failing_sink,
        ),
    )
