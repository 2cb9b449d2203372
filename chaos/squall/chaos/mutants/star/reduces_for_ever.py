"""A spoke that was degraded once asks for reductions only from then on, though it says that a hub is back."""

from __future__ import annotations

from msgspec.structs import replace

from squall.bus.messages import TaskResult
from squall.services.roles.spoke import Spoke


def install(node: str, role: str) -> None:
    changed, complete = Spoke._changed, Spoke._complete
    was_degraded = False

    def noted(self: Spoke) -> None:
        nonlocal was_degraded
        was_degraded = was_degraded or self.announced.degraded
        changed(self)

    def reduced(self: Spoke, result: TaskResult) -> TaskResult:
        completed = complete(self, result)
        return replace(completed, reduce_only=completed.reduce_only or was_degraded)

    Spoke._changed, Spoke._complete = noted, reduced  # type: ignore[method-assign]
