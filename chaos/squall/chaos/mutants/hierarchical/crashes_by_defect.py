"""A service that ends by an error of its own: it is started again so soon that nothing else shows it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from squall.services.node.service import Service
from squall.services.roles import gateway

AFTER_S = 6.0
"""Within the steady state, which the work of the others carries over."""


class DefectError(Exception):
    """What nobody expected."""


def install(node: str, role: str) -> None:
    if node != "gateway":
        return
    serve: Callable[[Service], Any] = gateway.serve

    async def serve_and_fail(service: Service) -> None:
        if service.start.incarnation > 1:
            await serve(service)
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(service))
            await asyncio.sleep(AFTER_S)
            raise DefectError("a defect")

    gateway.serve = serve_and_fail
