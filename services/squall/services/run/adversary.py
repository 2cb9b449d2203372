"""Who works against a swarm while it is driven. Without one, nobody knows what would have survived."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from squall.bus import log as bus_log
from squall.bus.errors import RequestError
from squall.services import jsonl
from squall.services.run.directory import RunDirectory

if TYPE_CHECKING:
    from squall.services.run.swarm import Swarm

LOOK_S = 0.05

PAUSE_AT = 0.6
"""Share of the tasks that must have ended before the leader is paused."""

PAUSE_MARGIN_S = 1.5
"""How much longer than its lease the leader stands still."""

RESUMED_S = 15.0
"""How long to wait for the resumed leader to find out that it was followed."""


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


class LeaderPause(Nobody):
    """Stops the leader in its tracks for longer than its lease, and sees that it stands down afterwards."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run

    async def disturb(self, swarm: Swarm) -> None:
        while await _ended(swarm) < swarm.spec.tasks * PAUSE_AT:
            await asyncio.sleep(LOOK_S)
        leading = await swarm.leader()
        unit = swarm.units.get(leading[0]) if leading else None
        if leading is None or unit is None:
            return
        node, term = leading
        start_s = time.time()
        verified = await swarm.launcher.freeze(unit)
        try:
            await asyncio.sleep(swarm.spec.lease_s + PAUSE_MARGIN_S)
        finally:
            thawed = await swarm.launcher.thaw(unit)
            self._run.append(
                "faults.jsonl",
                kind="pause",
                target="leader",
                node=node,
                start_s=start_s,
                end_s=time.time(),
                verified=verified and thawed,
            )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RESUMED_S):
                while not stood_down(self._run.history, node, term):
                    await asyncio.sleep(LOOK_S)


async def _ended(swarm: Swarm) -> int:
    with contextlib.suppress(RequestError):
        state = await bus_log.state(swarm.observer, swarm.swarm.stream("RES"))
        return int(state["last_seq"])
    return 0


def stood_down(history: Path, node: str, term: int) -> bool:
    """Whether a node wrote that it gave a term up."""
    with history.open("rb") as file:
        for line in jsonl.lines(file):
            if line is not None and b'"op":"resign"' in line:
                with contextlib.suppress(msgspec.DecodeError):
                    resigned = jsonl.decode(_resigned, line)
                    if (resigned.node, resigned.term) == (node, term):
                        return True
    return False


class _Resigned(msgspec.Struct):
    node: str
    term: int


_resigned = msgspec.json.Decoder(_Resigned)
