"""What a task is given to: each agent of the swarm imports this file and calls `decide`."""

import json

from squall.services.handlers import PoisonError, Result, Task


def decide(task: Task) -> Result:
    """One order for one task, and what it was worth.

    What is raised is tried again after a pause; a `PoisonError` is not. What is returned must depend on the
    task alone, never on the attempt: a task may be run again, and its effects are carried out once.
    """
    wanted = json.loads(task.body)
    if wanted["quantity"] < 0:
        raise PoisonError("a quantity is below zero")
    order = {
        "account": "mine",
        "symbol": wanted["symbol"],
        "n": task.number,
        "side": wanted["side"],
        "quantity": wanted["quantity"],
        "price": wanted["price"],
    }
    value = {"worth": wanted["quantity"] * wanted["price"]}
    return Result(effects=(order,), value=json.dumps(value).encode())
