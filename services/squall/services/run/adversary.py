"""Who works against a swarm while it is driven. Without one, nobody knows what would have survived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from squall.services.run.directory import RunDirectory

if TYPE_CHECKING:
    from squall.services.run.swarm import Swarm


class Adversary(Protocol):
    """Stands between the nodes and their broker, and disturbs them while there is work.

    Attributes:
        tools: Versions of what it uses, for the report.
        preload: A module that each node loads before its role; see `NodeStart`.
        ends_load: Whether the producer is to stop once the disturbance is over.
        drain_bound_s: How long draining may take after it; the spec's bound, if None.
    """

    tools: Mapping[str, str]
    preload: str
    ends_load: bool
    drain_bound_s: float | None

    async def route(self, node: str, url: str) -> str:
        """Where a node is to reach the broker that listens at ``url``."""
        ...

    async def disturb(self, swarm: Swarm) -> None:
        """Do the worst, and have all of it healed on return. Cancelled when the user wants an end."""
        ...


class Nobody:
    """Leaves the swarm alone."""

    tools: Mapping[str, str] = {}
    preload = ""
    ends_load = False
    drain_bound_s: float | None = None

    async def route(self, node: str, url: str) -> str:
        return url

    async def disturb(self, swarm: Swarm) -> None:
        pass


class Opening(Nobody):
    """Does what shows the swarm's pattern."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run

    async def disturb(self, swarm: Swarm) -> None:
        await swarm.pattern.opening(swarm, self._run)
