"""A gateway that takes an error of the venue for a definite refusal of what it sent."""

from __future__ import annotations

from collections.abc import Sequence

from squall.services.effects.venue import Outcome, VenueClient
from squall.services.rules.effects import Sized
from squall.services.rules.sinks import Refused, Unknown


def install(node: str, role: str) -> None:
    post = VenueClient.post

    async def posted(self: VenueClient, orders: Sequence[Sized]) -> Outcome:
        outcome = await post(self, orders)
        if isinstance(outcome, Unknown) and outcome.reason.startswith("the venue answered 5"):
            return Refused(outcome.reason)
        return outcome

    VenueClient.post = posted  # type: ignore[method-assign]
