"""An empty workload: the producer offers nothing, and says that it is done."""

from __future__ import annotations

from squall.services import producer
from squall.services.service import Service


def install(node: str, role: str) -> None:
    async def serve(service: Service) -> None:
        service.ready()

    producer.serve = serve
