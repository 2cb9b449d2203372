"""An empty workload: the producer offers nothing, and says that it is done."""

from __future__ import annotations

from squall.services.node.service import Service
from squall.services.roles import producer


def install(node: str, role: str) -> None:
    async def serve(service: Service) -> None:
        service.ready()

    producer.serve = serve
