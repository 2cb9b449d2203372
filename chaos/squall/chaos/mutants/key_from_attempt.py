"""A gateway whose key of an effect says how often it was sent, so that a repeat is another effect."""

from __future__ import annotations

from collections import Counter

from squall.services.effects.http import Service
from squall.services.rules.sinks import Outcome


def install(node: str, role: str) -> None:
    send = Service.send
    tries: Counter[str] = Counter()

    async def sent(self: Service, key: str, body: bytes) -> Outcome:
        tries[key] += 1
        return await send(self, key if tries[key] == 1 else f"{key}-{tries[key]}", body)

    Service.send = sent  # type: ignore[method-assign]
