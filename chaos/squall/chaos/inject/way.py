"""What a fault needs of a node's way to the broker, or of the way to the venue: a proxy, and a probe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from squall.chaos.inject.probe import ProbeResult
from squall.chaos.inject.toxiproxy.proxy_state import ProxyState
from squall.chaos.inject.toxiproxy.toxics import Toxic

Ask = Callable[[str, float], Awaitable[ProbeResult]]
"""Given a node, and how long to wait at each step: what somebody feels who goes its way."""


async def probe_nothing(node: str, timeout_s: float) -> ProbeResult:
    """There is no way to go."""
    raise LookupError(f"{node} has no way of its own")


class Way(Protocol):
    """A proxy. Each change returns once it was read back; see `Proxy` in `toxiproxy` for what is raised."""

    async def add(self, toxic: Toxic) -> object: ...

    async def update(self, toxic: Toxic) -> object: ...

    async def remove(self, toxic: Toxic) -> object: ...

    async def enable(self) -> object: ...

    async def disable(self) -> object:
        """Refuse connections, and close those there are."""
        ...

    async def recreate(self) -> object:
        """Have it anew, without toxics, and with its connections closed."""
        ...

    async def state(self) -> ProxyState: ...

    async def differences(self) -> list[str]:
        """How it is other than as it was told to be, each in words."""
        ...


class Ways(Protocol):
    """The network of a run: a way of each node, and one to the venue."""

    async def route(self, node: str, url: str, host: str) -> str:
        """The URL of the node's way to what is at ``url``; the same over the node's restarts.

        Args:
            host: The address of this machine at which the way begins.
        """
        ...

    def way(self, node: str) -> Way:
        """The node's way.

        Raises:
            LookupError: It has none.
        """
        ...

    async def probe(self, node: str, timeout_s: float) -> ProbeResult:
        """What somebody feels who goes the node's way to the broker, or the way to the venue."""
        ...
