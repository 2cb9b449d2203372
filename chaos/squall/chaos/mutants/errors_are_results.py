"""A handler that raised counts as one that had nothing to order."""

from __future__ import annotations

from squall.bus.work_queue import Done
from squall.services.handlers import outcome


def install(node: str, role: str) -> None:
    def nothing(error: BaseException) -> Done:
        return Done()

    outcome.raised = nothing  # type: ignore[assignment]
