"""A hub that goes on saying that it leads when its term is over: nobody ends the task that says so."""

from __future__ import annotations

import asyncio

from squall.services.node.service import Service
from squall.services.roles import hub


def install(node: str, role: str) -> None:
    announce = hub.announce  # type: ignore[attr-defined]
    left: set[asyncio.Task[None]] = set()

    async def announced(service: Service, term: int, lease_s: float) -> None:
        left.add(asyncio.ensure_future(announce(service, term, lease_s)))
        await asyncio.Event().wait()

    hub.announce = announced  # type: ignore[attr-defined]
