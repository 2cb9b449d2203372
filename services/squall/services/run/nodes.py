"""The nodes of a swarm: each is started, started again when it ends, and told to end.

start ─► serves ─► ends ─► revoked ─► starts again
           │                 └── it is leaving, put out or done, or the swarm stops: over
           └── fresh credentials at two thirds of their life
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from squall.bus.identity import Credentials
from squall.bus.signing import SigningKey, new_key
from squall.bus.subjects import GATEWAY
from squall.bus.tasks import Tasks
from squall.services.errors import LaunchError
from squall.services.launch import Launcher, Unit
from squall.services.node.history import History
from squall.services.node.service import NodeStart, Order, Origin, VenueToken
from squall.services.patterns import pattern_of
from squall.services.patterns.pattern import AGENT, PRODUCER, VENUE
from squall.services.run.access import Access
from squall.services.run.counters import Counters
from squall.services.run.directory import RunDirectory
from squall.services.run.spec import Spec

log = logging.getLogger("squall")

STARTS_MAX = 5
"""Starts of one node in a row that may end before it serves."""

RESTART_PAUSE_S = 0.1

LATE = 3
"""In which part of its credentials' life a node is to serve: who takes longer may miss the next renewal, and
is given fresh ones at once."""

PUSH_S = 1.0
"""How long to wait for the broker to take a revocation; one that is away is told once it answers."""

Route = Callable[[str, str, str], Awaitable[str]]
"""From a node's name, a URL and an address of this machine to the URL that is given instead, which may lead
to that address: of the broker to the node, and of the venue, whose name then stands for the way to it, to
whoever sends it something."""


async def straight(node: str, url: str, host: str) -> str:
    """Every node reaches the broker, and the venue, directly."""
    return url


class Starts:
    """The run's list of starts of its nodes."""

    def __init__(self, run: RunDirectory, counters: Counters, target: str) -> None:
        self._run = run
        self._counters = counters
        self._target = target

    def expect(self, node: str, role: str, incarnation: int) -> None:
        """A node is being started: it may beat, and end, before it is seen to serve."""
        self._counters.started(node, role, incarnation)

    def note(
        self,
        node: str,
        role: str,
        incarnation: int = 1,
        pid: str = "",
        *,
        launched_s: float | None = None,
    ) -> None:
        """Enter a start, now that it serves.

        Args:
            pid: What the target calls it; this process, if empty.
            launched_s: When its process was begun, if a launcher did.
        """
        self._run.append(
            "nodes.jsonl",
            node=node,
            role=role,
            incarnation=incarnation,
            target=self._target,
            pid=int(pid) if pid.isdigit() else pid or os.getpid(),
            launched_s=launched_s,
            started_s=time.time(),
        )


@dataclass
class _Kept:
    """A node that is kept alive.

    Attributes:
        starts: How often it was started.
        over: It is not started again once it ends.
        expelled: It was put out, so that what is started of it is killed.
    """

    node: str
    role: str
    starts: int = 0
    over: bool = False
    expelled: bool = False
    serving: asyncio.Event = field(default_factory=asyncio.Event)


class Nodes:
    """Keeps nodes alive.

    Args:
        preload: A module that each node loads before its role, or empty.
        origin: Where the spec's handler comes from; see `Origin`.
        history: The command's; told of nodes that the launcher had to kill.

    Attributes:
        units: The nodes that serve now, by name.
        restarts: Nodes that had to be started again so far.
    """

    def __init__(
        self,
        spec: Spec,
        run: RunDirectory,
        access: Access,
        launcher: Launcher,
        tasks: Tasks,
        starts: Starts,
        *,
        route: Route,
        preload: str,
        origin: Origin | None,
        history: History,
    ) -> None:
        self.units: dict[str, Unit] = {}
        self.restarts = 0
        self._spec = spec
        self._run = run
        self._access = access
        self._launcher = launcher
        self._tasks = tasks
        self._list = starts
        self._route = route
        self._preload = preload
        self._origin = origin
        self._history = history
        roster = pattern_of(spec).roster
        self._votes = roster is not None and roster.votes
        self._venue = ""
        self._venue_port = 0
        self._venue_token = VenueToken(secrets.token_urlsafe(32))
        self._keys: dict[str, SigningKey] = {}
        self._kept: dict[str, _Kept] = {}
        self._supervisors: dict[str, asyncio.Task[None]] = {}
        self._stopping = False

    def start(self, node: str, role: str) -> asyncio.Event:
        """Have a node serve from now on; what is returned is set once it serves, or never will."""
        kept = self._kept[node] = _Kept(node, role)
        self._supervisors[node] = self._tasks.daemon(self._supervise(kept))
        return kept.serving

    def supervisor(self, node: str) -> asyncio.Task[None]:
        """Ends when the node has ended and is not started again.

        Raises:
            LookupError: It was never started.
        """
        return self._supervisors[node]

    def starts(self, nodes: Iterable[str]) -> dict[str, int]:
        """How often each of these was started; without those that were put out."""
        kept = {name: self._kept.get(name) for name in nodes}
        return {
            name: node.starts if node is not None else 0
            for name, node in kept.items()
            if node is None or not node.expelled
        }

    def key(self, node: str) -> SigningKey:
        """What an agent signs with, the same however often it is started."""
        if node not in self._keys:
            self._keys[node] = new_key()
        return self._keys[node]

    async def end(self, node: str, *, grace_s: float) -> None:
        """Have a node drain and end, and not start again; one that does not in time is killed."""
        kept = self._kept[node]
        kept.over = True
        unit = self.units.get(node)
        if unit is not None:
            await self._launcher.stop(unit, grace_s=grace_s)

    async def expel(self, node: str) -> None:
        """End a node at once and for good."""
        if node in self._kept:
            self._kept[node].expelled = True
        unit = self.units.pop(node, None)
        if unit is not None:
            await self._launcher.kill(unit)

    async def stop(self, *, grace_s: float) -> None:
        """Have every node drain and end; those that do not in time are killed."""
        self._stopping = True
        units = list(self.units.values())
        await asyncio.gather(*(self._launcher.stop(unit, grace_s=grace_s) for unit in units))

    async def renew(self) -> None:
        """Give everybody fresh credentials at two thirds of their life, until cancelled."""
        while True:
            await asyncio.sleep(self._spec.credentials_life_s * 2 / 3)
            for name, unit in list(self.units.items()):
                kept = self._kept[name]
                credentials = None if kept.expelled or kept.role == VENUE else self._access.mint(name)
                if credentials is not None:
                    await self._launcher.tell(unit, Order(credentials=credentials))
            for name, connection in self._access.connections.items():
                credentials = self._access.mint(name)
                if credentials is not None:
                    connection.renew(credentials)

    async def _supervise(self, kept: _Kept) -> None:
        """Start a node, and again whenever it ends, until it is over."""
        failures = 0
        while not (kept.expelled or kept.over):
            kept.starts += 1
            start = await self._start_of(kept)
            if kept.expelled:
                break
            self._list.expect(kept.node, kept.role, kept.starts)
            launched_s = time.time()
            minted_s = launched_s

            def mint() -> Credentials | None:
                nonlocal minted_s
                minted_s = time.time()
                return None if kept.expelled or kept.role == VENUE else self._access.mint(kept.node)

            try:
                unit = await self._launcher.start(start, mint)
            except LaunchError as error:
                await self._revoke(kept)
                failures += 1
                if failures >= STARTS_MAX and not kept.expelled:
                    raise
                log.warning("%s", error)
                await asyncio.sleep(RESTART_PAUSE_S * 2**failures)
                continue
            failures = 0
            if time.time() - minted_s > self._spec.credentials_life_s / LATE:
                await self._launcher.tell(unit, Order(credentials=mint()))
            status = await self._live(kept, unit, launched_s)
            if self._stopping:
                return
            await self._revoke(kept)
            if kept.over or kept.expelled or (kept.role == PRODUCER and status == 0):
                break
            log.info("%s ended with status %d and is started again", kept.node, status)
            self.restarts += 1
            await asyncio.sleep(RESTART_PAUSE_S)
        kept.serving.set()  # it will not, and nobody is to wait for it

    async def _start_of(self, kept: _Kept) -> NodeStart:
        """What a node is told as it starts."""
        role, is_venue = kept.role, kept.role == VENUE
        return NodeStart(
            spec=self._spec,
            node=kept.node,
            role=role,
            incarnation=kept.starts,
            url="" if is_venue else await self._way(kept.node, self._access.url),
            history=str(self._run.history),
            venue=await self._way(VENUE, self._venue) if role == GATEWAY and self._venue else "",
            venue_token=self._venue_token if role in (GATEWAY, VENUE) else None,
            path=str(self._run.venue),
            tasks=str(self._run.tasks) if role == PRODUCER and self._spec.tasks_from else "",
            port=self._venue_port if is_venue else 0,
            preload=self._preload,
            origin=self._origin if role in (AGENT, GATEWAY) else None,
            signing=self.key(kept.node) if role == AGENT and self._votes else None,
        )

    async def _way(self, node: str, url: str) -> str:
        return await self._route(node, url, self._launcher.host(node))

    async def _live(self, kept: _Kept, unit: Unit, launched_s: float) -> int:
        """One life of a node, from when it serves to its end; its exit status."""
        self._list.note(kept.node, kept.role, kept.starts, unit.id, launched_s=launched_s)
        self.units[kept.node] = unit
        if kept.role == VENUE:
            self._venue = unit.ready.url
            self._venue_port = urlsplit(self._venue).port or 0
        kept.serving.set()
        if kept.expelled or kept.over:  # while it was being started
            await self._launcher.kill(unit)
        status = await unit.ended()
        self._launcher.forget(unit)
        if status and kept.role == AGENT:
            self._history("ended", "ok", agent=kept.node, incarnation=kept.starts, status=status)
        if unit.killed_for:
            facts = {"agent": kept.node, "incarnation": kept.starts, "reason": unit.killed_for}
            self._history("killed", "ok", **facts)
        if self.units.get(kept.node) is unit:
            del self.units[kept.node]
        return status

    async def _revoke(self, kept: _Kept) -> None:
        """Have the broker refuse what an agent's process was given, now that the process has ended."""
        if self._access.own is not None and kept.role == AGENT and not kept.expelled:
            self._access.own.accounts.revoke(kept.node)
            await self._access.own.accounts.settled(PUSH_S)
