"""A producer that dates a task when it comes to send it, so that its own delay is in no latency."""

from __future__ import annotations

import random
import time
from typing import Any

import msgspec

from squall.bus.messages import RunTask
from squall.services.node.service import Service
from squall.services.roles import producer


def install(node: str, role: str) -> None:
    as_due = producer._offer

    async def as_sent(
        service: Service, message: RunTask, chance: random.Random, **facts: Any
    ) -> producer.Became:
        return await as_due(service, msgspec.structs.replace(message, submit_s=time.time()), chance, **facts)

    producer._offer = as_sent
