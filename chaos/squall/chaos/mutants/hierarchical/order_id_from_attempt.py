"""Order id made from the attempt: a repeat looks like another order."""

from __future__ import annotations

from squall.bus.messages import TaskResult
from squall.services.handlers import effect_id
from squall.services.roles import gateway


def install(node: str, role: str) -> None:
    orders_of = gateway.orders_of

    def named_by_attempt(task: str, result: TaskResult) -> list[tuple[str, bytes]]:
        if result.attempt == 1:
            return orders_of(task, result)
        return [(f"{effect_id(task, i)}-{result.attempt}", body) for i, body in enumerate(result.effects)]

    gateway.orders_of = named_by_attempt
