"""Starting a swarm and keeping it for the length of a block.

guard ─► broker ─► streams ─► venue ─► the pattern's nodes ─► (producer, when told)
  └── ends every process with this one
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

from squall.bus.broker import LOOPBACK, READY_S
from squall.bus.connection import connect
from squall.bus.guard import Guard
from squall.bus.subjects import GATEWAY, POOL
from squall.bus.tasks import task_group
from squall.services.effects.kinds import is_outside
from squall.services.intake.arrivals import STREAM, Arrivals
from squall.services.intake.subject import comes_in, look
from squall.services.launch import Launcher
from squall.services.launch.places import PLACES, PROCESSES
from squall.services.node.history import History
from squall.services.node.service import NodeStart, Origin
from squall.services.patterns.pattern import AGENT
from squall.services.run import watches
from squall.services.run.access import Access, Own
from squall.services.run.counters import Counters
from squall.services.run.directory import RunDirectory
from squall.services.run.nodes import Nodes, Route, Starts, straight
from squall.services.run.operating import listening
from squall.services.run.outside_broker import outside_broker
from squall.services.run.own_broker import BROKER, BROKER_LOG, own_broker
from squall.services.run.progress import Phase, Progress, Waiting
from squall.services.run.reach import check_reach
from squall.services.run.registers import operator
from squall.services.run.spec import Spec, is_own
from squall.services.run.swarm import STOP_S, Swarm
from squall.services.run.warden import WARDEN, Warden

HANDLER, EFFECTS = "handler", "effects"
"""What processes are called that find the handler, and the sink, before there is anything else."""


@contextlib.asynccontextmanager
async def running(
    spec: Spec,
    run: RunDirectory,
    *,
    url: str | None,
    on: str = PROCESSES,
    route: Route = straight,
    preload: str = "",
    origin: Origin | None = None,
    history: History,
    progress: Progress,
) -> AsyncIterator[Swarm]:
    """A swarm that serves inside the block and is gone after it.

    Args:
        on: Where its nodes run, a name of `PLACES`.
        url: An outside broker, or None for one of our own.
        route: Says where a node is to reach the broker; asked before each start of a node.
        preload: A module that each node loads before its role, or empty.
        origin: Where the spec's handler comes from; see `Origin`.
        history: The command's; told of agents that are killed, put out, join or leave, and of full streams.
        progress: Told what is learned of the run as it goes.

    Raises:
        SpecError, LaunchError, BusError: It cannot be started, or not be kept running.
    """
    check_reach(spec, url, on)
    async with Guard() as guard, PLACES[on](guard, run) as launcher, task_group() as tasks:
        counters = Counters(run, lambda: access.observer.counters)
        starts = Starts(run, counters, launcher.target)
        if is_own(spec.handler):
            progress(Waiting(what=f"the handler {spec.handler} to be imported"))
            await _try(spec, HANDLER, AGENT, origin, launcher)
        if is_outside(spec.effects):
            await _try(spec, EFFECTS, GATEWAY, origin, launcher)
        limits: tuple[str, ...] = ()
        if comes_in(spec.tasks_from):
            progress(Waiting(what=f"an answer from the broker of {spec.tasks_from}"))
            carried = await look(spec.source)
            limits = tuple(carried.limits(spec.source))
            with Arrivals(run.path) as arrivals:
                arrivals.fact(STREAM, carried.stream)
        async with contextlib.AsyncExitStack() as stack:
            progress(Phase(stage="starting"))
            if url is None:
                progress(Waiting(what="nats-server to be ready", at_most_s=READY_S))
                # Behind proxies nothing but these can reach it.
                host = launcher.host(BROKER) if route is straight else LOOPBACK
                broker = own_broker(spec, run, guard, starts, host=host)
            else:
                progress(Waiting(what=f"an answer from {url}"))
                broker = outside_broker(spec, url)
            access = await stack.enter_async_context(broker)
            access = replace(access, limits=(*access.limits, *limits))
            tasks.daemon(watches.disk(run))
            if access.own is not None:
                tasks.daemon(watches.broker_log(run.logs / BROKER_LOG, history, progress))
            serving = on_broker(
                spec,
                run,
                access,
                launcher,
                starts,
                counters,
                route=route,
                preload=preload,
                origin=origin,
                history=history,
                progress=progress,
            )
            swarm = await stack.enter_async_context(serving)
            speaking = listening(run.path, operator(swarm, run), swarm.invite, swarm.url)
            await stack.enter_async_context(speaking)
            yield swarm


@contextlib.asynccontextmanager
async def on_broker(
    spec: Spec,
    run: RunDirectory,
    access: Access,
    launcher: Launcher,
    starts: Starts,
    counters: Counters,
    *,
    route: Route = straight,
    preload: str = "",
    origin: Origin | None = None,
    history: History,
    progress: Progress,
) -> AsyncIterator[Swarm]:
    """A swarm whose nodes serve inside the block, on a broker that is there.

    Args:
        access: The broker, with the swarm's streams.
        launcher: What its nodes are started by; for the rest see `running`.

    Raises:
        SpecError, LaunchError, BusError: It cannot be started, or not be kept running.
    """
    async with task_group() as tasks, contextlib.AsyncExitStack() as stack:
        nodes = Nodes(
            spec,
            run,
            access,
            launcher,
            tasks,
            starts,
            route=route,
            preload=preload,
            origin=origin,
            history=history,
        )
        swarm = Swarm(spec, run, access, launcher, nodes, starts, history, counters, progress)
        if access.own is not None:
            await stack.enter_async_context(_warden(swarm, access, access.own))
        hearing = await stack.enter_async_context(swarm.observer.apart())
        await hearing.subscribe(swarm.swarm.heartbeats, counters.hear)
        tasks.daemon(counters.keep())
        progress(Waiting(what="the nodes to serve"))
        tasks.daemon(nodes.renew())  # from here on, as what a node was given ends while others still start
        await swarm.start()
        # Not of the ingress, whose bound is what holds producers back.
        ingress = swarm.swarm.stream("IN")
        names = [name for each in swarm.pattern.streams(spec) if (name := each["name"]) != ingress]
        tasks.daemon(watches.bounds(swarm.observer, names, history, progress))
        tasks.daemon(swarm.pattern.watch(swarm, history))
        yield swarm
        progress(Phase(stage="stopping", at_most_s=STOP_S))
        await swarm.stop()


async def _try(spec: Spec, name: str, role: str, origin: Origin | None, launcher: Launcher) -> None:
    """See that agents will find their handler, or the gateway its sink.

    Raises:
        SpecError: They will not.
    """
    trial = NodeStart(spec=spec, node=name, role=role, incarnation=1, origin=origin)
    unit = await launcher.start(trial)
    await unit.ended()
    launcher.forget(unit)


@contextlib.asynccontextmanager
async def _warden(swarm: Swarm, access: Access, own: Own) -> AsyncIterator[None]:
    """Watch the agents inside the block, where they share a consumer and so could keep each other from it."""
    consumers = swarm.pattern.consumers(swarm.spec, swarm.topology)
    pool = next((consumer for consumer in consumers if consumer.name == POOL), None)
    if pool is None or not swarm.topology.of_role(WARDEN):
        yield
        return
    async with connect(access.url, WARDEN, access.mint(WARDEN)) as core, task_group() as tasks:
        access.connections[WARDEN] = core
        warden = Warden(
            swarm.spec, own.authority, own.system, core, pool=pool, starts=swarm.agents, put_out=swarm.expel
        )
        tasks.daemon(warden.run())
        yield
