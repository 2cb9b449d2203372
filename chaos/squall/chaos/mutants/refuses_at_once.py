"""A producer that takes the broker's first refusal for the last, though there may be room in a moment."""

from __future__ import annotations

import copy
import random
from typing import Any

import msgspec

from squall.bus.messages import RunTask
from squall.services.node.service import Service
from squall.services.roles import producer


def install(node: str, role: str) -> None:
    patient = producer._offer

    async def once(
        service: Service, message: RunTask, chance: random.Random, **facts: Any
    ) -> producer.Became:
        hasty = copy.copy(service)
        hasty.spec = msgspec.structs.replace(service.spec, patience_s=0.0)
        return await patient(hasty, message, chance, **facts)

    producer._offer = once
