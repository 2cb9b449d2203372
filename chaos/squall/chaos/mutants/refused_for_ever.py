"""A gateway that takes a sink's refusal for a failure, and asks again for ever."""

from __future__ import annotations

from squall.services.effects.http import Service
from squall.services.rules.sinks import Outcome, Refused, Unknown


def install(node: str, role: str) -> None:
    send = Service.send

    async def sent(self: Service, key: str, body: bytes) -> Outcome:
        outcome = await send(self, key, body)
        return Unknown(outcome.reason) if isinstance(outcome, Refused) else outcome

    Service.send = sent  # type: ignore[method-assign]
