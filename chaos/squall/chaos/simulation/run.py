"""One simulated run: a swarm under load and a schedule of faults, in a world of its own.

    spec, schedule ─► World: load ─► faults ─► healed ─► load ends ─► drained in time? ─► its directory

It leaves what a real run leaves, and is judged, traced and shown by the same code.
"""

from __future__ import annotations

import asyncio

from squall.chaos.errors import HandlerError
from squall.chaos.inject import schedule_file
from squall.chaos.inject.draining import draining
from squall.chaos.inject.experiment import MARGIN_S, NAME, carry_out
from squall.chaos.inject.nemesis import Nemesis, Patience
from squall.chaos.plan.schedule import Schedule
from squall.chaos.simulation.loop import StandsError
from squall.chaos.simulation.stands import noticed, place_of
from squall.chaos.simulation.variants import installed
from squall.chaos.simulation.world import World
from squall.services.node.history import History
from squall.services.patterns import pattern_of
from squall.services.run.directory import RunDirectory
from squall.services.run.loaded import Run
from squall.services.run.progress import Step
from squall.services.run.spec import Spec

PATIENCE = Patience(there_s=5.0, point_s=2.0, struck_s=2.0)
"""The load is over after a few seconds, and does not bring anybody anywhere later."""

LOAD_S = 600.0
"""How much longer than the load takes the producer may, with all its repeats."""


def simulate(spec: Spec, schedule: Schedule, directory: RunDirectory, *, preload: str = "") -> World:
    """Run one schedule, and leave what came of it in a directory; the world as it was in the end.

    Raises:
        SimulationError: The world could not go on.
        HandlerError: It could not, as somebody's handler does not return.
        Unmodelled: Something asked the broker for what its model does not know.
        ServiceError, BusError: The swarm could not be run.
    """
    schedule_file.write(directory, schedule)
    world = World(spec, spec.seed)
    nodes = {node.name: node.role for node in pattern_of(spec).topology(spec).nodes}
    with installed(preload, nodes), noticed(world.loop), world.nature.holding():
        try:
            world.loop.run(_experiment(world, spec, schedule, directory))
        except StandsError as error:
            if (frame := place_of(error)) is None:
                raise
            raise HandlerError(
                f"the handler {spec.handler} does not return, and all else waits for it: {error}, at {frame}",
                "in a simulated world all agents share one thread, and nobody else does what it waits for",
            ) from error
    return world


def _tell_nobody(step: Step) -> None:
    """Nobody watches."""


async def _experiment(world: World, spec: Spec, schedule: Schedule, directory: RunDirectory) -> None:
    now_s = world.nature.true_time_s
    begun_s = world.loop.time()
    with History(directory.history, "squall", 1, now_s=now_s) as history:
        async with world.swarm(directory, history, _tell_nobody) as swarm:
            run = Run(swarm, directory, history, _tell_nobody)
            await run.begin({})
            with History(directory.history, NAME, 1, now_s=now_s) as told:
                swarm.note(NAME, NAME)
                nemesis_running = Nemesis.running(
                    swarm, world.ways, directory, seed=schedule.seed, patience=PATIENCE
                )
                async with nemesis_running as nemesis:
                    await carry_out(schedule)(nemesis)
                backlog, bound_s = await draining(run, nemesis.causes, offered=spec.tasks)
                facts = {"bound_s": bound_s, "backlog": backlog, "faults": nemesis.logged, "idle": None}
                told("phase", "ok", what="healed", **facts)
                await _loaded(run)
            await run.finish(bound_s + MARGIN_S)
        run.close(world.loop.time() - begun_s)


async def _loaded(run: Run) -> None:
    """Wait until all of the workload was offered; a swarm that takes no more of it has not drained either."""
    await asyncio.wait({run.swarm.producer}, timeout=LOAD_S)
