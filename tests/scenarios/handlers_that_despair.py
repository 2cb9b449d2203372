"""A handler that fails in five ways, by its task; and the same, mended."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from squall.services.handlers import PoisonError, Task

CAUSES = ("gives up", "raises", "returns no order", "returns too much", "dies")


def order(task: Task) -> dict[str, Any]:
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}


def despair(task: Task) -> Any:
    match json.loads(task.body)["cause"]:
        case "gives up":
            raise PoisonError("no price for this one")
        case "raises":
            raise KeyError("price")
        case "returns no order":
            return {"quantity": "many"}
        case "returns too much":
            return {**order(task), "account": "a" * 1_000_000}
        case "dies":
            os._exit(3)
    return order(task)


def mended(task: Task) -> Any:
    time.sleep(0.05)
    return order(task)
