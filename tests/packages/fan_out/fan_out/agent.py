"""The agent of a fan-out: gives each of its copies to the handler, and the answer to the task's register."""

from __future__ import annotations

from fan_out import pattern
from squall.services.node.service import Service
from squall.services.roles.worker import POINTS, Worker
from squall.services.run.spec import spec_as

__all__ = ["POINTS", "serve"]


async def serve(service: Service) -> None:
    """Work until asked to stop."""
    spec = spec_as(service.spec, pattern.FanOutSpec)
    await Worker(service, pattern.queue_of(spec, service.node)).serve()
