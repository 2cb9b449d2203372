"""A producer that acknowledges a message at its source before it has kept the task anywhere.

Killed between the two, it has lost the task, and nobody is left who knows of it but the source.
"""

from __future__ import annotations

from typing import Final

from squall.bus.tasks import Tasks
from squall.services.roles.taking import ACK, Message, Taking

ACKNOWLEDGED: Final = "producer.acknowledged"
"""The point between the two."""


def install(node: str, role: str) -> None:
    keep = Taking.one

    async def acknowledged(self: Taking, message: Message, tasks: Tasks) -> None:
        await self.answer(message.sequence, message.reply, ACK)
        await self.service.at(ACKNOWLEDGED)
        await keep(self, message, tasks)

    Taking.one = acknowledged  # type: ignore[method-assign]
