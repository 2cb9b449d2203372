"""One experiment: a steady state, faults while safety is recorded, all healed, and a bound for what is left.

    load ─► steady? ─► faults ─► healed ─► calm ─► load ends ─► drained within the bound? ─► judged
              └─ no: no experiment

What makes a schedule of faults an experiment is that somebody saw the swarm work before, that what it may
take afterwards was computed before anybody looked, and that it was seen to work afterwards as it did before.
Some faults strike as the load ends, and then there is nothing to see afterwards; see `Interval`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

from squall.bus.guard import Guard
from squall.bus.tasks import task_group
from squall.chaos.errors import HarnessBrokenError
from squall.chaos.inject.draining import draining
from squall.chaos.inject.idle import Idle
from squall.chaos.inject.nemesis import LEASE_S, Nemesis
from squall.chaos.inject.network import WATCH_S, Network
from squall.chaos.inject.toxiproxy import Toxiproxy
from squall.chaos.inject.toxiproxy.proxies import Proxies
from squall.chaos.plan.load import CALM_S, check_load
from squall.chaos.plan.poison import is_poisoned
from squall.chaos.plan.schedule import Interval, Schedule
from squall.services.launch.places import PROCESSES
from squall.services.node.history import History
from squall.services.node.service import Origin
from squall.services.patterns import reading
from squall.services.run.directory import RunDirectory
from squall.services.run.driven import driven, unless
from squall.services.run.loaded import STEADY_S, Run
from squall.services.run.progress import Phase, Progress, Waiting
from squall.services.run.spec import Spec
from squall.services.run.swarm import Swarm

NAME = "nemesis"
"""Who writes of phases in the history."""

LEASE_PAST_S = 30.0
"""How much longer than its time a fault's lease lasts."""

MARGIN_S = 5.0
"""How much longer than its bound a swarm is waited for, to tell late from never."""

UNDER_WAY_FACTOR = 2
UNDER_WAY_S = 0.2
"""When it is: so many times what was under way in the steady state, and so many seconds' worth of tasks."""

CALM_LOOK_S = 0.1

CALM_PATIENCE_S = 20.0
"""How long that is waited for: longer than a connection needs that is open and has lost something. Who is
slow then was left so by the faults."""

LOAD_ENDS_S = 5.0
"""How long the load may take to end while a fault is in force that strikes its end; then that is healed at
once. The producer asks again every second, and is not struck itself."""

Attack = Callable[[Nemesis], Coroutine[Any, Any, None]]


@contextlib.asynccontextmanager
async def experimenting(
    spec: Spec,
    run: RunDirectory,
    *,
    progress: Progress,
    url: str | None = None,
    on: str = PROCESSES,
    interrupt: asyncio.Event | None = None,
    port: int = 0,
    preload: str = "",
    origin: Origin | None = None,
    steady_s: float = STEADY_S,
) -> AsyncIterator[Nemesis]:
    """A swarm behind proxies that works steadily, and who may break it inside the block.

    After the block all is healed, the load ends, the swarm drains, and the broker is read.

    Args:
        url: An outside broker, in clear text and with a port, or None for one of our own. It is not struck.
        on: Where the nodes run; see `running`.
        interrupt: If it is set as the block ends, the experiment counts as one that did not come to its end.
        port: Of Toxiproxy's API; 0 is any that is free.
        preload: A module that nodes load first; see `NodeStart`.
        origin: Where the spec's handler comes from; see `Origin`.
        steady_s: How long the swarm must keep up before anything is done to it.

    Raises:
        SpecError: Its tasks are over before it could be seen to work steadily; nothing was started.
        HarnessBrokenError: The harness broke; the run says nothing about the swarm.
        HandlerError: Next to nothing comes of what its handler is given.
        SteadyStateError: There was no steady state to disturb.
        ServiceError, BusError: The swarm could not be run.
    """

    check_load([("a steady state alone", spec, Schedule(seed=spec.seed))], steady_s=steady_s)

    def tell_waiting(what: str) -> None:
        progress(Waiting(what=what))

    progress(Phase(stage="starting"))
    async with (
        Guard() as guard,
        Toxiproxy.running(
            guard=guard, log=run.logs / "toxiproxy.log", port=port, progress=tell_waiting
        ) as toxiproxy,
        Proxies(toxiproxy.url, prefix=run.id, access=toxiproxy.access) as proxies,
    ):
        network = Network(proxies, toxiproxy.access, toxiproxy.pid)
        tools = {"toxiproxy": toxiproxy.version}
        async with driven(
            spec,
            run,
            url=url,
            on=on,
            interrupt=interrupt,
            route=network.route,
            preload=preload,
            origin=origin,
            tools=tools,
            progress=progress,
        ) as driving:
            with History(run.history, NAME, 1) as history:
                async with _watched(driving.swarm, network, history):
                    idle = Idle()
                    seconds = await driving.steady(steady_s)
                    history("phase", "ok", what="steady", seconds=seconds, idle=idle.share())
                    before = await _under_way(driving)
                    idle = Idle()
                    _weigh(driving.swarm, history)
                    progress(Phase(stage="faults"))
                    async with Nemesis.running(driving.swarm, network, run, seed=spec.seed) as nemesis:
                        yield nemesis
                if interrupt is None or not interrupt.is_set():
                    offered = driving.swarm.offered() or 0
                    backlog, bound_s = await draining(driving, nemesis.causes, offered=offered)
                    healed = {
                        "bound_s": bound_s,
                        "backlog": backlog,
                        "faults": nemesis.logged,
                        "idle": idle.share(),
                    }
                    history("phase", "ok", what="healed", **healed)
                    if nemesis.logged and not is_poisoned(spec.handler):
                        await unless(interrupt or asyncio.Event(), _calm(driving, before, history))
                    await driving.finish(bound_s + MARGIN_S)
                    _weigh(driving.swarm, history)
                    _see_the_broker(driving.swarm, history)


async def _calm(driving: Run, before: int, history: History) -> None:
    """Let the load go on until nothing is left to recover from, or should not be, and a while longer.

    Args:
        before: What was under way in the steady state.
    """
    swarm = driving.swarm
    swarm.tell(Phase(stage="recovering", at_most_s=CALM_PATIENCE_S + CALM_S))
    enough = UNDER_WAY_FACTOR * before + UNDER_WAY_S * swarm.spec.rate_per_s
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CALM_PATIENCE_S):
            while not swarm.producer.done() and await _under_way(driving) > enough:
                await asyncio.sleep(CALM_LOOK_S)
    idle = Idle()
    await asyncio.wait({swarm.producer}, timeout=CALM_S)
    if not swarm.producer.done():
        history("phase", "ok", what="calm", seconds=CALM_S, idle=idle.share())


async def _under_way(driving: Run) -> int:
    """Tasks that have not ended, and what waits in queues or is held of them."""
    return await driving.open_tasks() + await reading.left(driving.swarm)


def _weigh(swarm: Swarm, history: History) -> None:
    """Note what each node holds of the machine's memory."""
    for node, unit in swarm.units.items():
        kib = swarm.launcher.memory_kib(unit)
        if kib is not None:
            history("memory", "ok", of=node, unit=unit.id, kib=kib)


def _see_the_broker(swarm: Swarm, history: History) -> None:
    """See that somebody else's broker was there all the time.

    Nobody here strikes the command's own way to it, so if that was lost, the broker ended, stood still or was
    cut off, for reasons that are not on record. What the swarm did about it would look like its own fault.

    Raises:
        HarnessBrokenError: It was not.
    """
    if not swarm.owns_broker and swarm.observer.counters["reconnects"]:
        lost = f"the broker at {swarm.url} was lost, and nothing here was the cause"
        history("interfered", "fail", reason=lost)
        raise HarnessBrokenError(lost, "see that nobody else stops it, and try again")


async def _watch_the_broker(swarm: Swarm, history: History) -> None:
    """See that it is there again and again."""
    while True:
        _see_the_broker(swarm, history)
        await asyncio.sleep(WATCH_S)


@contextlib.asynccontextmanager
async def _watched(swarm: Swarm, network: Network, history: History) -> AsyncIterator[None]:
    """See that nobody reaches the broker past its proxy, and that nobody else changes the proxies."""

    def note(interference: str) -> None:
        history("interfered", "fail", reason=interference)

    swarm.note(NAME, NAME)
    async with task_group() as tasks:
        tasks.daemon(network.watch(swarm))
        tasks.daemon(network.watch_others(note))
        tasks.daemon(_watch_the_broker(swarm, history))
        yield
    await network.look_for_others(note)


async def experiment(
    spec: Spec,
    run: RunDirectory,
    attack: Attack,
    *,
    url: str | None = None,
    on: str = PROCESSES,
    interrupt: asyncio.Event | None = None,
    progress: Progress,
    port: int = 0,
    preload: str = "",
    steady_s: float = STEADY_S,
) -> None:
    """Put a swarm to one attack; see `experimenting`.

    Args:
        attack: What is done once the state is steady; cancelled if the user wants an end.
    """
    async with experimenting(
        spec,
        run,
        progress=progress,
        url=url,
        on=on,
        interrupt=interrupt,
        port=port,
        preload=preload,
        steady_s=steady_s,
    ) as nemesis:
        await unless(interrupt or asyncio.Event(), attack(nemesis))


def carry_out(schedule: Schedule) -> Attack:
    """An attack that does what a schedule says, each interval at its time."""

    async def attack(nemesis: Nemesis) -> None:
        begun_s = asyncio.get_running_loop().time()
        lengths_s = [each.at_s + each.for_s for each in schedule.intervals]
        nemesis.tell(Phase(stage="faults", lasts_s=max([schedule.quiet_s, *lengths_s])))
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
        with contextlib.suppress(TimeoutError):
            # It ends its jobs in the ingress; where that is full, only who is struck may be able to empty it.
            async with asyncio.timeout(LOAD_ENDS_S):
                await nemesis.end_load()
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
