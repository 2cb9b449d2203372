"""The nemesis: puts faults in force, sees that they are, heals them, sees that they are healed.

    resolve ─► reserve the nodes ─► one of them stands at a point? ─► in force (`force.py`) ─► free

A fault heals when its block ends, however it ends, and when its lease does, though the block goes on. If this
process dies, its guard ends the swarm and Toxiproxy with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from squall.bus import log as bus_log
from squall.bus.errors import RequestError
from squall.chaos.errors import ChaosError, HarnessBrokenError
from squall.chaos.inject.faults.catalogue import FAULTS, make
from squall.chaos.inject.faults.fault import STRUCK_S, Fault, Site
from squall.chaos.inject.faults.pause import Pause
from squall.chaos.inject.force import Force, Strike
from squall.chaos.inject.reservations import Reservations
from squall.chaos.inject.traps import Traps
from squall.chaos.inject.way import Ways
from squall.chaos.plan.bounds import Cause, causes_of
from squall.chaos.plan.kinds import HAND_OVER
from squall.chaos.plan.surface import BROKER, check_target, nodes_of, surface_of
from squall.services.run.directory import RunDirectory
from squall.services.run.progress import Done, Healed, Struck, Waiting
from squall.services.run.swarm import Swarm
from squall.services.run.written import submitted


@dataclass(frozen=True)
class Patience:
    """How long what is to be struck may take to be there.

    Attributes:
        there_s: To serve, to lead, to be free of another fault.
        point_s: To reach a point; under load each is passed several times a second.
        struck_s: To be delivered something that can be struck.
    """

    there_s: float = 60.0
    point_s: float = 45.0
    struck_s: float = STRUCK_S


PATIENCE = Patience()

LEASE_S = 180.0
"""How long a fault lasts at most, where it is not said."""

TRAP_SET_S = 0.2
"""So that a trap is set before there is somebody to follow."""

LAST_LOOK_S = 0.01
"""Between two looks for the last result, which is on its way for a few hundred milliseconds."""


class Nemesis:
    """Faults for one swarm. Made by `running`.

    Attributes:
        logged: Faults that were logged so far, one for each node that was struck.
        causes: What all of them together can have put in the way of recovering.
        tell: Told what is learned of the run as it goes.
    """

    def __init__(
        self,
        swarm: Swarm,
        network: Ways,
        run: RunDirectory,
        traps: Traps,
        chance: random.Random,
        patience: Patience,
    ) -> None:
        self.tell = swarm.tell
        self._swarm = swarm
        self._surface = surface_of(swarm.spec)
        self._network = network
        self._run = run
        self._traps = traps
        self._chance = chance
        self._patience = patience
        self._numbers = itertools.count(1)
        self._waits = itertools.count(1)
        self._reservations = Reservations()
        self.logged = 0
        self.causes: set[Cause] = set()

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls, swarm: Swarm, network: Ways, run: RunDirectory, *, seed: int, patience: Patience | None = None
    ) -> AsyncIterator[Nemesis]:
        """A nemesis that can strike inside the block.

        Args:
            patience: How long what is to be struck may take to be there.
        """
        async with Traps.running(swarm) as traps:
            yield cls(swarm, network, run, traps, random.Random(f"{seed}/nemesis"), patience or PATIENCE)

    def __getattr__(self, name: str) -> Callable[..., AbstractAsyncContextManager[Strike]]:
        """``nemesis.one_way_up("leader")`` is ``nemesis.strike("one-way-up", "leader")``; other keywords than
        those of `strike` are the fault's magnitude."""
        fault = name.replace("_", "-")
        if fault not in FAULTS:
            raise AttributeError(f"there is no fault {fault!r}; there are {', '.join(FAULTS)}")

        def struck(
            target: str, *, point: str = "", nth: int = 1, lease_s: float = LEASE_S, **magnitude: int
        ) -> AbstractAsyncContextManager[Strike]:
            return self.strike(fault, target, point=point, nth=nth, lease_s=lease_s, magnitude=magnitude)

        return struck

    @contextlib.asynccontextmanager
    async def strike(
        self,
        name: str,
        target: str,
        *,
        point: str = "",
        nth: int = 1,
        lease_s: float = LEASE_S,
        magnitude: Mapping[str, int] | None = None,
    ) -> AsyncIterator[Strike]:
        """A fault in force inside the block.

        Args:
            name: Of the fault, for instance ``blackhole-nofin``.
            target: A role or a node.
            point: Strike when a node of that target stands at this point of its work.
            nth: At which passing of it.
            lease_s: When it heals, though the block goes on.
            magnitude: Of the fault, for instance ``{"latency_ms": 200}``.

        Raises:
            FaultError: There is no such fault or target.
            TimeoutError: The target was not there, or did not reach the point.
            HarnessBrokenError: A change could not be made certain.
        """
        fault = make(name, magnitude or {})
        check_target(fault.kind, target, self._surface)
        async with contextlib.AsyncExitStack() as stack:
            if self._surface.is_take_over(point) or name == HAND_OVER:
                # Somebody is to follow the leader: all who can are kept free of other faults meanwhile.
                nodes = await self._reserve(stack, self._surface.all_leaders)
            else:
                nodes = await self._reserve(stack, target)
            if name == HAND_OVER:
                nodes = await self._nodes(target)
            if point:
                nodes = [await stack.enter_async_context(self._halted(point, nth, nodes))]
            strike = Strike(nodes, False)
            await stack.enter_async_context(self._in_force(fault, target, strike, point, lease_s))
            if point and fault.kind.breaks == "link":
                await self._thaw(nodes[0])
            yield strike

    async def ended(self) -> int:
        """How many tasks have ended so far; while the broker is away, as far as was known."""
        return await self._swarm.ended()

    async def end_load(self) -> None:
        """Have the producer offer nothing more, and wait until it has its answers."""
        await self._swarm.stop_producer()

    async def all_ended(self) -> None:
        """Wait until every task that was accepted has ended; meant for when the load has."""
        _, accepted = await asyncio.to_thread(submitted, self._run.history)
        while await self.ended() < accepted:
            await asyncio.sleep(LAST_LOOK_S)

    def missed(self, name: str, target: str, point: str) -> None:
        """Log a fault that did not come about, because its target was not there in time."""
        now_s = time.time()
        self.logged += 1
        self._run.append(
            "faults.jsonl",
            id=f"{next(self._numbers)}/missed",
            kind=name,
            target=target,
            point=point,
            start_s=now_s,
            end_s=now_s,
            verified=False,
            reason="its target was not there in time, or did not reach the point",
        )

    # Whom.

    async def _reserve(self, stack: contextlib.AsyncExitStack, target: str) -> Sequence[str]:
        """Have for oneself the nodes that a target means, and still means once they are reserved."""
        async with (
            asyncio.timeout(self._patience.there_s),
            self._waiting(f"{target} to be there", self._patience.there_s),
        ):
            while True:
                nodes = await self._nodes(target)
                wanted = set(nodes)
                if BROKER in wanted:  # a fault of the broker is everybody's
                    wanted |= set(self._swarm.units)
                async with contextlib.AsyncExitStack() as held:
                    await held.enter_async_context(
                        self._reservations.take(wanted, timeout_s=self._patience.there_s)
                    )
                    if self._all_there(nodes) and await self._means(target, nodes):
                        stack.push_async_exit(held.pop_all())
                        return nodes

    async def _means(self, target: str, nodes: Sequence[str]) -> bool:
        """Whether a target that changes hands is still with these."""
        if target not in ("leader", "standby"):
            return True
        leading = await self._swarm.leader()
        if leading is None or (leading[0] == nodes[0]) is not (target == "leader"):
            return False
        return target == "standby" or await self._is_in_office(leading[1])

    async def _is_in_office(self, term: int) -> bool:
        """Whether the leader of a term is seen to renew its lease.

        One that was cut off until now leads by its record in the log, and is followed as soon as anybody can.
        """
        swarm = self._swarm
        if swarm.pattern.seat is None:
            return True
        seat = swarm.pattern.seat(swarm.swarm)
        first: int | None = None
        until_s = time.monotonic() + swarm.spec.lease_s
        while time.monotonic() < until_s:
            with contextlib.suppress(RequestError):
                lease = await bus_log.last(swarm.observer, seat.stream, seat.lease)
                newest = lease.sequence if lease is not None else 0
                first = newest if first is None else first
                if newest > first:
                    leading = await swarm.leader()
                    return leading is not None and leading[1] == term
            await asyncio.sleep(0.05)
        return False

    def _all_there(self, nodes: Sequence[str]) -> bool:
        return all(node == BROKER or node in self._swarm.units for node in nodes)

    async def _nodes(self, target: str) -> Sequence[str]:
        """The nodes that a target means, once all of them are there."""
        while True:
            leading = await self._swarm.leader() if target in ("leader", "standby") else None
            with contextlib.suppress(LookupError):
                nodes = nodes_of(target, self._surface, leading[0] if leading else None, self._chance)
                if self._all_there(nodes):
                    return nodes
            await asyncio.sleep(0.05)

    @contextlib.asynccontextmanager
    async def _halted(self, point: str, nth: int, nodes: Sequence[str]) -> AsyncIterator[str]:
        """One of these, which are reserved, standing still at a point inside the block, if it is not thawed.

        Where only who takes over gets there, the leader is paused as long, so that somebody does.
        """
        async with contextlib.AsyncExitStack() as stack:
            if self._surface.is_take_over(point):
                leading = await self._swarm.leader()
                if leading is None:
                    raise TimeoutError
                nodes = [node for node in nodes if node != leading[0]]
                catching = asyncio.ensure_future(
                    self._traps.catch(point, nth, nodes, timeout_s=self._patience.point_s)
                )
                try:
                    await asyncio.sleep(TRAP_SET_S)
                    pause = Strike([leading[0]], False)
                    meanwhile = f"leader, for {point}"
                    await stack.enter_async_context(self._in_force(Pause(), meanwhile, pause, "", LEASE_S))
                    async with self._waiting(f"{_either(nodes)} to reach {point}", self._patience.point_s):
                        node = await catching
                finally:
                    catching.cancel()
                    await asyncio.wait({catching})
            else:
                async with self._waiting(f"{_either(nodes)} to reach {point}", self._patience.point_s):
                    node = await self._traps.catch(point, nth, nodes, timeout_s=self._patience.point_s)
            try:
                yield node
            finally:
                await self._thaw(node)

    async def _thaw(self, node: str) -> None:
        unit = self._swarm.units.get(node)
        if unit is not None:
            await self._swarm.launcher.thaw(unit)

    # How.

    @contextlib.asynccontextmanager
    async def _in_force(
        self, fault: Fault, target: str, strike: Strike, point: str, lease_s: float
    ) -> AsyncIterator[None]:
        sites = [self._site(node) for node in strike.nodes]
        self.logged += len(sites)
        for node in strike.nodes:
            self.causes |= causes_of(fault.name, self._surface.role_of(node), self._surface.leading)
        number = next(self._numbers)
        force = Force(self._run, number, fault, target, strike, point, sites)
        try:
            async with force.holding(lease_s):
                if strike.verified:
                    nodes = tuple(strike.nodes)
                    self.tell(Struck(key=str(number), kind=fault.name, target=target, nodes=nodes))
                yield
        except ChaosError as error:
            if not force.is_healed:
                raise HarnessBrokenError(f"{fault.name} of {target} may not be healed: {error}") from error
            raise
        finally:
            self.tell(Healed(str(number)))

    @contextlib.asynccontextmanager
    async def _waiting(self, what: str, at_most_s: float) -> AsyncIterator[None]:
        """Say what is waited for inside the block."""
        key = f"nemesis/{next(self._waits)}"
        self.tell(Waiting(key=key, what=what, at_most_s=at_most_s))
        try:
            yield
        finally:
            self.tell(Done(key))

    def _site(self, node: str) -> Site:
        if node == BROKER:
            return Site(self._swarm, node)
        return Site(self._swarm, node, self._network.way(node), self._network.probe, self._patience.struck_s)


def _either(nodes: Sequence[str]) -> str:
    return " or ".join(nodes)
