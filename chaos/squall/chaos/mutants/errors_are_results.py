"""A handler that raised counts as one that had nothing to order."""

from __future__ import annotations

from squall.bus.ended import Done
from squall.services.handlers import outcome
from squall.services.handlers.mistakes import IsOwn


def install(node: str, role: str) -> None:
    def nothing(error: BaseException, is_own: IsOwn) -> Done:
        return Done()

    outcome.raised = nothing  # type: ignore[assignment]
