"""A handler whose effects are no orders, and functions that carry effects out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from squall.services.effects import DoneBeforeError, RefusedError
from squall.services.handlers import Task

SENT = Path("sent.jsonl")


def decide(task: Task) -> dict[str, Any]:
    return {"ship": task.key, **json.loads(task.body)}


SLOW_S = 0.05


def send_slowly(effect: dict[str, Any], key: str) -> None:
    time.sleep(SLOW_S)


def send(effect: dict[str, Any], key: str) -> None:
    """Carries an effect out once; of each seventh it says so only when it is asked again."""
    seen = [json.loads(line) for line in SENT.read_text().splitlines()] if SENT.exists() else []
    outcome = "duplicate" if any(row["order_id"] == key for row in seen) else "filled"
    if effect.get("bad"):
        outcome = "rejected"
    row = {"order_id": key, "time_s": time.time(), "outcome": outcome, "body": effect}
    with SENT.open("a") as file:
        file.write(json.dumps(row) + "\n")
    if outcome == "rejected":
        raise RefusedError("it is bad")
    if outcome == "duplicate":
        raise DoneBeforeError
    if effect["n"] % 7 == 0:
        raise OSError("the answer was lost")
