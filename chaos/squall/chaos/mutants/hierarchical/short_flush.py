"""Short-timeout flush: a PONG that comes after the flush gave up ends nats-py's read loop, in silence."""

from __future__ import annotations

from squall.bus.link import Link
from squall.bus.wire import NatsWire

FLUSH_S = 0.3


def install(node: str, role: str) -> None:
    if role != "gateway":
        return  # where a probe is given up when a seat changes hands, the swarm would not even start

    async def flush(self: Link) -> float:
        assert isinstance(self.wire, NatsWire)
        try:
            await self.wire.client._flush_pending()
            await self.wire.client.rtt(timeout=FLUSH_S)  # type: ignore[arg-type]
        except Exception:  # "it will reconnect by itself"
            pass
        return 0.0

    Link.probe = flush  # type: ignore[method-assign]
