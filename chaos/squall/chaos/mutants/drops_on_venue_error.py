"""A gateway that gives up on orders when the venue fails, and acknowledges their registers."""

from __future__ import annotations

from collections.abc import Sequence

from squall.services.effects.forwarding import Forwarder
from squall.services.effects.port import Effect
from squall.services.effects.venue import Answer, Answered, Outcome
from squall.services.rules.sinks import Away, Unknown


def install(node: str, role: str) -> None:
    async def once(self: Forwarder, batch: Sequence[Effect]) -> Outcome:
        outcome = await self._venue.post(batch)
        if isinstance(outcome, Unknown | Away):
            return Answered([Answer(effect.order_id, "duplicate") for effect in batch])
        return outcome

    Forwarder._repeated = once  # type: ignore[method-assign]
