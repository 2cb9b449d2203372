"""A producer that offers nothing for a while once it is started again."""

from __future__ import annotations

import asyncio

from squall.services.node.service import Service
from squall.services.roles import producer

IDLE_S = 8.0


def install(node: str, role: str) -> None:
    at_once = producer.serve

    async def after_a_while(service: Service) -> None:
        if service.start.incarnation > 1:
            await asyncio.sleep(IDLE_S)
        await at_once(service)

    producer.serve = after_a_while
