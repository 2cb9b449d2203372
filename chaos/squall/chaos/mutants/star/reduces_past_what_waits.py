"""A degraded gateway that sends a reduction past orders of its symbol that wait."""

from __future__ import annotations

from squall.bus.messages import TaskResult
from squall.services.roles.gated_gateway import Reductions


def install(node: str, role: str) -> None:
    def admits(self: Reductions, sequence: int, result: TaskResult) -> bool:
        return result.status != "ok" or (self._complete and result.reduces)

    Reductions.__call__ = admits  # type: ignore[method-assign]
