"""A world: a broker, ways, nodes and a venue in one process, and the swarm and harness that know no other.

spec, seed ─► World ─┬─ Access ─► Swarm ─► Run           the same code as of a real run
                     ├─ SimulatedLauncher ─► nodes
                     └─ Ways ─► Nemesis
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

from squall.bus.connection import Connection, connect
from squall.chaos.model.broker import Broker
from squall.chaos.model.rights import Rights, rights_of
from squall.chaos.simulation.brokers import START_S, URL, BrokerClock, SimulatedBroker
from squall.chaos.simulation.loop import Process, VirtualLoop
from squall.chaos.simulation.nature import EPOCH_S, Nature, Threads
from squall.chaos.simulation.network import Channel, Sink
from squall.chaos.simulation.units import SimulatedLauncher
from squall.chaos.simulation.venues import Venues
from squall.chaos.simulation.ways import PROBE, SimulatedWays
from squall.chaos.simulation.wire import SimulatedWire
from squall.services.node.history import History
from squall.services.node.surroundings import HELD_UP, Surroundings
from squall.services.patterns import pattern_of
from squall.services.run.access import Access
from squall.services.run.counters import Counters
from squall.services.run.directory import RunDirectory
from squall.services.run.nodes import Starts
from squall.services.run.own_broker import BROKER, LAUNCHER, OBSERVER
from squall.services.run.progress import Progress
from squall.services.run.running import on_broker
from squall.services.run.spec import Spec
from squall.services.run.swarm import Swarm

LIMITS = (
    "simulated: the nodes' own code on a virtual clock, against a model of the broker; "
    "it says nothing of speed, of sockets, of nats-py or of the disk",
)


SOURCES_S = ((0.0002, 0.003), (0.0002, 0.003), (0.001, 0.05), (0.05, 0.4))
"""What a stream may take to copy what another stored: mostly next to nothing, as a real one does; with some
seeds long, as one does that has much else to do. Were it longer, the bounds would have to know of it."""

COPIES = 3
"""One after the other, from a submission until what stands in the ingress may go: to the queue, to the log of
who decides, to the registers."""

NOBODY = Rights()
"""Those of a probe, which is let in and says nothing but PING."""


def _pace_of_copies(seed: int, spec: Spec) -> tuple[float, float]:
    """How long a copy takes, at least and at most.

    Where the ingress holds less than comes while copies are made, a swarm falls behind its load whatever is
    done to it; there they take next to no time.
    """
    pace = random.Random(f"{seed}/sources").choice(SOURCES_S)
    return pace if COPIES * pace[1] * spec.rate_per_s <= spec.ingress_max else SOURCES_S[0]


class World:
    """Everything that a simulated run has around its code.

    Attributes:
        loop: Its time.
        nature: Its clock and chance.
        ways: Its network.
    """

    def __init__(self, spec: Spec, seed: int) -> None:
        self._spec = spec
        self._seed = seed
        self.loop = VirtualLoop()
        self.ways = SimulatedWays(self.loop, random.Random(f"{seed}/network"))
        self.venues = self.ways.venues = Venues(self.loop, self.ways.to_venue)
        self.launcher = SimulatedLauncher(
            self.loop, self._around, self.venues, self._true_time_s, self.ways.closed
        )
        self.nature = Nature(self.loop, seed, self.launcher.killed_itself)
        self._topology = pattern_of(spec).topology(spec)

    def _true_time_s(self) -> float:
        return self.nature.true_time_s()

    def _rights(self, name: str) -> Rights:
        return rights_of(self._topology, name) if name != PROBE else NOBODY

    def _around(self, process: Process) -> Surroundings:
        """What a process has around it."""

        async def stand_still() -> None:
            process.stands_still = True
            await asyncio.sleep(0)

        def end_within(limit_s: float) -> None:
            self.loop.call_later(limit_s, self.launcher.killed_itself, process, HELD_UP)

        return Surroundings(
            wire=lambda: SimulatedWire(self),
            door=self.venues.door,
            threads=lambda number: Threads(self.loop),
            watching=lambda is_own, tell: contextlib.nullcontext(),
            stand_still=stand_still,
            set_clock=self.nature.set_clock,
            end_within=end_within,
        )

    def dial(self, name: str, sink: Sink) -> Channel | None:
        """Connect the present process to the broker, over the way of a node."""
        return self.ways.way(name).dial(sink, self.broker.listener(name))

    @contextlib.asynccontextmanager
    async def swarm(
        self, directory: RunDirectory, history: History, progress: Progress
    ) -> AsyncIterator[Swarm]:
        """A swarm that serves inside the block."""
        pattern = pattern_of(self._spec)
        counters = Counters(directory, lambda: observer.counters)
        starts = Starts(directory, counters, self.launcher.target)

        def started(incarnation: int) -> None:
            starts.note(BROKER, BROKER, incarnation, f"broker-{incarnation}")

        chance = random.Random(f"{self._seed}/broker")

        def make(clock: BrokerClock) -> Broker:
            broker = Broker(clock, chance, epoch_s=EPOCH_S)
            broker.source_delay_s = _pace_of_copies(self._seed, self._spec)
            return broker

        self.broker = SimulatedBroker(
            self.loop, make, self._rights, self.ways.by_node, started, lambda: chance.uniform(*START_S)
        )
        self.ways.broker = self.broker
        started(1)

        def connected(name: str) -> contextlib.AbstractAsyncContextManager[Connection]:
            return connect(URL, name, None, wire=lambda: SimulatedWire(self))

        async with connected(LAUNCHER) as connection:
            await pattern.provision(connection, self._spec)
        async with connected(OBSERVER) as observer:
            access = Access(
                url=URL,
                server_version="simulated",
                observer=observer,
                provisioner=lambda: connected(LAUNCHER),
                mint=lambda node: None,
                limits=LIMITS,
                process=self.broker,
            )
            async with on_broker(
                self._spec,
                directory,
                access,
                self.launcher,
                starts,
                counters,
                route=self.ways.route,
                history=history,
                progress=progress,
            ) as swarm:
                yield swarm
