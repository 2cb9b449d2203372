"""Fail-over replays requests: a new hub decides once more, under another name, what was decided before it."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from squall.bus.messages import TaskResult
from squall.services.roles import hub
from squall.services.rules.hub import Request, Standing, Submitted

BACK = 50
"""How far back in the log it begins."""


def install(node: str, role: str) -> None:
    restore, decision = hub.restore, hub.decision  # type: ignore[attr-defined]
    asked = Standing.asked
    decided_until = 0

    async def restore_and_go_back(*told: Any, **through: Any) -> tuple[Standing, int]:
        nonlocal decided_until
        standing, snapshot = await restore(*told, **through)
        decided_until = standing.requests
        standing.requests = max(0, standing.requests - BACK)
        return standing, snapshot

    def asked_again(self: Standing, request: Request, owners: Any, term: int) -> Any:
        at = asked(self, request, owners, term)
        again = at == "not-open" and request.sequence <= decided_until
        return Submitted(0, _class_of(request), request.task) if again else at

    def decided_again(request: Request, at: Submitted, *told: Any, **rest: Any) -> Any:
        made, positions = decision(request, at, *told, **rest)
        if request.sequence <= decided_until:
            made = replace(made, task=f"{made.task}-again")
        return made, positions

    hub.restore = restore_and_go_back  # type: ignore[attr-defined]
    hub.decision = decided_again  # type: ignore[attr-defined]
    Standing.asked = asked_again  # type: ignore[method-assign]


def _class_of(request: Request) -> str:
    return request.result.job if isinstance(request.result, TaskResult) else ""
