"""One experiment: a steady state, faults while safety is recorded, all healed, and a bound for what is left.

    load ─► steady? ─► faults ─► healed ─► load ends ─► drained within the bound? ─► judged
              └─ no: no experiment

What makes a schedule of faults an experiment is that somebody saw the swarm work before, and that what it may
take afterwards was computed before anybody looked. Some faults strike as the load ends; see `Interval`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from squall.bus.errors import RequestError
from squall.bus.guard import Guard
from squall.bus.tasks import task_group
from squall.chaos.errors import SteadyStateError
from squall.chaos.inject.nemesis import LEASE_S, Nemesis
from squall.chaos.inject.network import Network
from squall.chaos.inject.toxiproxy import Toxiproxy
from squall.chaos.inject.toxiproxy.proxies import Proxies
from squall.chaos.judge.bounds import drain_bound_s
from squall.chaos.plan.schedule import Interval, Schedule, toml
from squall.services.node.history import History
from squall.services.run.directory import RunDirectory
from squall.services.run.run import Interrupt, execute
from squall.services.run.spec import Spec
from squall.services.run.swarm import Swarm

NAME = "nemesis"
"""Who writes of phases in the history."""

STEADY_S = 3.0
"""How long the swarm must keep up before anything is done to it."""

STEADY_SHARE = 0.8
"""Of the tasks offered in that time, how many must have ended."""

STEADY_PATIENCE_S = 30.0

SCHEDULE = "schedule.toml"

LOOK_S = 0.1

LEASE_PAST_S = 30.0
"""How much longer than its time a fault's lease lasts."""

MARGIN_S = 5.0
"""How much longer than its bound a swarm is waited for, to tell late from never."""

Attack = Callable[[Nemesis], Awaitable[None]]


class Experiment:
    """Works against one swarm through proxies of its own.

    Args:
        attack: What is done once the state is steady; all of it is healed on return.
    """

    ends_load = True
    drain_bound_s: float | None = None

    def __init__(
        self, run: RunDirectory, network: Network, attack: Attack, *, seed: int, tools: Mapping[str, str]
    ) -> None:
        self._run = run
        self._network = network
        self._attack = attack
        self._seed = seed
        self.tools = tools
        self.preload = ""

    async def route(self, node: str, url: str) -> str:
        return await self._network.route(node, url)

    async def disturb(self, swarm: Swarm) -> None:
        with History(self._run.history, NAME, 1) as history:
            swarm.note(NAME, NAME)

            def note(interference: str) -> None:
                history("interfered", "fail", reason=interference)

            async with task_group() as tasks:
                tasks.daemon(self._network.watch(swarm))
                tasks.daemon(self._network.watch_others(note))
                history("phase", "ok", what="steady", seconds=await steady(swarm))
                async with Nemesis.running(swarm, self._network, self._run, seed=self._seed) as nemesis:
                    await self._attack(nemesis)
                    faults = nemesis.logged
            await self._network.look_for_others(note)
            backlog = await _open_tasks(swarm)
            bound_s = drain_bound_s(swarm.spec, backlog)
            self.drain_bound_s = bound_s + MARGIN_S
            history("phase", "ok", what="healed", bound_s=bound_s, backlog=backlog, faults=faults)


async def steady(swarm: Swarm) -> float:
    """Wait until the swarm keeps up with what it is offered; over how many seconds it did.

    Raises:
        SteadyStateError: It does not.
    """
    wanted = STEADY_SHARE * STEADY_S * swarm.spec.rate_per_s
    deadline = asyncio.get_running_loop().time() + STEADY_PATIENCE_S
    gained = 0
    while asyncio.get_running_loop().time() < deadline:
        before = await swarm.ended()
        await asyncio.sleep(STEADY_S)
        gained = await swarm.ended() - before
        if gained >= wanted:
            return STEADY_S
    raise SteadyStateError(
        f"the swarm does not keep up with {swarm.spec.rate_per_s:g} tasks a second: {gained} ended in "
        f"{STEADY_S:g} s",
        "lower the rate; what does not work undisturbed proves nothing under faults",
    )


async def _open_tasks(swarm: Swarm) -> int:
    """How many tasks were accepted and have not ended, and how many effects are on their way."""
    while True:
        with contextlib.suppress(RequestError):
            backlog = await swarm.backlog()
            return max(0, backlog.submitted - backlog.registers)
        await asyncio.sleep(LOOK_S)


def carry_out(schedule: Schedule) -> Attack:
    """An attack that does what a schedule says, each interval at its time."""

    async def attack(nemesis: Nemesis) -> None:
        begun_s = asyncio.get_running_loop().time()
        async with task_group() as tasks:
            tasks.start(asyncio.sleep(schedule.quiet_s))
            for interval in schedule.intervals:
                if not interval.at_end:
                    tasks.start(_one(nemesis, interval, begun_s))
        at_end = [interval for interval in schedule.intervals if interval.at_end]
        if at_end:
            await _strike_the_end(nemesis, at_end)

    return attack


async def _one(nemesis: Nemesis, interval: Interval, begun_s: float) -> None:
    await asyncio.sleep(max(0.0, begun_s + interval.at_s - asyncio.get_running_loop().time()))
    await _strike(nemesis, interval, lambda: asyncio.sleep(interval.for_s))


async def _strike_the_end(nemesis: Nemesis, intervals: Sequence[Interval]) -> None:
    """Strike, let the load end, and heal when the last task has ended: what is lost then has no successor."""
    over = asyncio.Event()
    in_force = [asyncio.Event() for _ in intervals]

    async def one(interval: Interval, struck: asyncio.Event) -> None:
        async def hold() -> None:
            struck.set()
            await over.wait()

        try:
            await _strike(nemesis, interval, hold)
        finally:
            struck.set()

    async with task_group() as tasks:
        for interval, struck in zip(intervals, in_force, strict=True):
            tasks.start(one(interval, struck))
        for struck in in_force:
            await struck.wait()
        await nemesis.end_load()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(interval.for_s for interval in intervals)):
                await nemesis.all_ended()
        over.set()


async def _strike(nemesis: Nemesis, interval: Interval, hold: Callable[[], Awaitable[None]]) -> None:
    """Have an interval's fault in force for as long as something takes; note it if it does not come about."""
    try:
        async with nemesis.strike(
            interval.fault,
            interval.target,
            point=interval.point,
            nth=interval.nth,
            lease_s=max(LEASE_S, interval.for_s + LEASE_PAST_S),
            magnitude=interval.magnitude,
        ):
            await hold()
    except TimeoutError:
        nemesis.missed(interval.fault, interval.target, interval.point)


async def experiment(
    spec: Spec,
    run: RunDirectory,
    attack: Attack,
    *,
    interrupt: Interrupt,
    progress: Callable[[str], None],
    port: int = 0,
    preload: str = "",
) -> None:
    """Start a swarm behind proxies, attack it, and leave in its directory what judging it takes.

    Args:
        port: Of Toxiproxy's API; 0 is any that is free.
        preload: A module that nodes load first; see `NodeStart`.

    Raises:
        HarnessBrokenError: The harness broke; the run says nothing about the swarm.
        SteadyStateError: There was no steady state to disturb.
        ServiceError, BusError: The swarm could not be run.
    """
    async with (
        Guard() as guard,
        Toxiproxy.running(
            guard=guard, log=run.logs / "toxiproxy.log", port=port, progress=progress
        ) as toxiproxy,
        Proxies(toxiproxy.url, prefix=run.id, access=toxiproxy.access) as proxies,
    ):
        network = Network(proxies, toxiproxy.access, toxiproxy.pid)
        adversary = Experiment(run, network, attack, seed=spec.seed, tools={"toxiproxy": toxiproxy.version})
        adversary.preload = preload
        await execute(spec, run, url=None, interrupt=interrupt, progress=progress, adversary=adversary)


def write_schedule(run: Path, schedule: Schedule) -> None:
    """Leave a schedule in a run's directory."""
    (run / SCHEDULE).write_text(toml(schedule))
