"""A handler of a user's own tasks: what it is given comes back, and one task can never succeed."""

from __future__ import annotations

import json

from squall.services.handlers import PoisonError, Result, Task


def decide(task: Task) -> Result:
    body = json.loads(task.body)
    if body["n"] < 0:
        raise PoisonError("n is negative")
    order = {
        "account": "a0001",
        "symbol": "sp500",
        "n": body["n"],
        "side": "buy",
        "quantity": 1,
        "price": 1.0,
    }
    value = {"key": task.key, "number": task.number, "n": body["n"]}
    return Result(effects=(order,) if body["n"] % 3 == 0 else (), value=json.dumps(value).encode())
