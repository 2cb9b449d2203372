"""Runs that show soon what comes of a handler: few tasks, two attempts, short pauses. And series at ease."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

QUICK: dict[str, Any] = {
    "pattern": "hierarchical",
    "agents": 2,
    "coordinators": 1,
    "attempts": 2,
    "ack_wait_s": 1.0,
    "retry_base_s": 0.05,
    "retry_cap_s": 0.1,
    "pause_leader": False,
}

AT_EASE = ("--agents", "2", "--rate", "50")
"""Of a series beside which another may run: its verdict asks that the machine has time left."""


def starting(squall_run: Any, folder: Path, module: str, fields: dict[str, Any]) -> Callable[..., Any]:
    """Something that runs a function of a module beside this file as a handler.

    Args:
        squall_run: The fixture.
        folder: Of the test; the module is copied to where the command is started in it.
        fields: Of the spec; a call may change them.
    """

    def start(function: str, **changes: Any) -> Any:
        started_in = folder / f"{len(list(folder.glob('[0-9]')))}"
        started_in.mkdir()
        shutil.copy(Path(__file__).parent / f"{module}.py", started_in)
        spec = {**fields, "handler": f"{module}:{function}", **changes}
        if spec["pattern"] != QUICK["pattern"]:
            del spec["coordinators"]
        return squall_run(spec)

    return start
