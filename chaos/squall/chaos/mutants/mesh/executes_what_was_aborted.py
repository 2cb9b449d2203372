"""What was aborted for good is carried out all the same, and the gateway does not ask."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from squall.bus.messages import TaskResult
from squall.bus.vote_messages import Propose
from squall.services.roles import counting_gateway
from squall.services.roles.executor import Executor


def install(node: str, role: str) -> None:
    made = Executor._result

    def regardless(self: Executor, delivery: Any, proposal: Any) -> TaskResult:
        result = made(self, delivery, proposal)
        if proposal.outcome == "abort" and isinstance(proposal.content, Propose):
            return replace(result, status="ok", effects=proposal.content.effects, reason="")
        return result

    Executor._result = regardless  # type: ignore[method-assign]
    counting_gateway.why_not = lambda fold, result: ""
