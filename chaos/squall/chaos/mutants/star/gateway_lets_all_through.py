"""A gateway that passes everything while nobody leads."""

from __future__ import annotations

from squall.bus.messages import TaskResult
from squall.services.roles.gated_gateway import Reductions


def install(node: str, role: str) -> None:
    def everything(self: Reductions, sequence: int, result: TaskResult) -> bool:
        return True

    Reductions.__call__ = everything  # type: ignore[method-assign]
