"""Whether the gateway is behind, so that whoever makes room for new tasks is to make none.

    gateway ── heartbeats: how many registers it holds, and may hold ──► coordinator, hub, registrar
                                                                           └─► the ingress is not emptied,
                                                                               and refuses producers when full

It is advice: one that is not heard, because it is being started again for instance, presses on nobody.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from nats.aio.msg import Msg

from squall.bus.codec import decode
from squall.bus.errors import DecodeError
from squall.bus.messages import Heartbeat
from squall.bus.subjects import GATEWAY
from squall.services.node.service import HEARTBEAT_S, Service

SHARE = 0.9
"""Of what a gateway may hold, from which on it is behind. Higher admits more before it is; lower holds back
what a sink would have taken in time."""

SILENT_S = 3 * HEARTBEAT_S


class Pressed:
    """What the gateway says of itself."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._behind_s = 0.0

    @property
    def is_behind(self) -> bool:
        """Whether it holds about as much as it may, by its last word."""
        return time.monotonic() < self._behind_s

    @contextlib.asynccontextmanager
    async def heard(self) -> AsyncIterator[None]:
        """Hear it inside the block."""
        subject = self._service.swarm.heartbeat(GATEWAY, GATEWAY)
        stop = await self._service.connection.subscribe(subject, self._on_heartbeat)
        try:
            yield
        finally:
            await stop()

    async def listen(self) -> None:
        """Hear it, for ever; who leads does not wait for that."""
        async with self.heard():
            await asyncio.Event().wait()

    def _on_heartbeat(self, message: Msg) -> None:
        try:
            said = decode(message.data, Heartbeat)
        except DecodeError as error:
            self._service.complaints("unreadable", f"what the gateway says: {error}")
            return
        is_behind = said.slots > 0 and said.in_flight >= SHARE * said.slots
        self._behind_s = time.monotonic() + SILENT_S if is_behind else 0.0
