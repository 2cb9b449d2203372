"""A driven run: a swarm, its workload, and whatever is done to it, as one block.

    async with driven(spec, directory, progress=tell) as run:
        await run.steady()
        ...                            # whatever it is to survive
        await run.finish(bound_s)      # the load ends, the swarm drains, the broker is read

What is found goes into the run's directory as it is found. The verdict comes from the
directory alone, so that anybody can come to it again; see `result.judge`.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any

from squall.bus.tasks import task_group
from squall.services.intake.arrivals import begin
from squall.services.intake.source import is_streamed
from squall.services.intake.store import taken_in
from squall.services.launch.places import PROCESSES
from squall.services.node.history import History
from squall.services.node.service import Origin
from squall.services.run.directory import RunDirectory
from squall.services.run.loaded import LOOK_S, Run
from squall.services.run.nodes import Route, straight
from squall.services.run.progress import Left, Phase, Progress
from squall.services.run.results import Results
from squall.services.run.running import running
from squall.services.run.spec import Spec


@contextlib.asynccontextmanager
async def driven(
    spec: Spec,
    directory: RunDirectory,
    *,
    progress: Progress,
    url: str | None = None,
    on: str = PROCESSES,
    interrupt: asyncio.Event | None = None,
    route: Route = straight,
    preload: str = "",
    origin: Origin | None = None,
    tools: Mapping[str, str] | None = None,
    results: Results | None = None,
) -> AsyncIterator[Run]:
    """A swarm under load inside the block, finished as it ends, if it was not before; see `Run`.

    If something is raised, the swarm ends at once and the directory holds what there was.

    Args:
        progress: Told what is learned of the run as it goes.
        url: An outside broker, or None for one of our own.
        on: Where its nodes run; see `running`.
        interrupt: Set when the user wants an end, which is noted; to end the load then is the block's to do.
        route: Says where a node is to reach the broker; asked before each start of a node.
        preload: A module that each node loads before its role; see `NodeStart`.
        origin: Where the spec's handler comes from; see `Origin`.
        tools: Versions of what works against the swarm, for the report.
        results: Where what comes of each task is written as it comes; None if nobody asked for it.

    Raises:
        ServiceError, BusError: It could not be run.
    """
    started_s = time.monotonic()
    if spec.tasks_from and not directory.tasks.exists():
        if is_streamed(spec.tasks_from):
            begin(directory)
        else:
            spec, _ = await asyncio.to_thread(taken_in, spec, directory)
    with History(directory.history, "squall", 1) as history:
        starting = running(
            spec,
            directory,
            url=url,
            on=on,
            route=route,
            preload=preload,
            origin=origin,
            history=history,
            progress=progress,
        )
        async with starting as swarm:
            run = Run(swarm, directory, history, progress, results)
            async with under_load(run, interrupt=interrupt, tools=tools):
                yield run
            if is_streamed(spec.tasks_from) and (offered := run.offered):
                directory.with_tasks(spec, offered)  # as many as there were to be, as it turned out
        shutil.rmtree(directory.broker, ignore_errors=True)  # all of it was read back
        run.close(time.monotonic() - started_s)


@contextlib.asynccontextmanager
async def under_load(
    run: Run, *, interrupt: asyncio.Event | None = None, tools: Mapping[str, str] | None = None
) -> AsyncIterator[None]:
    """Load on a swarm inside the block; as it ends, the swarm is finished with, if it was not before.

    Args:
        interrupt, tools: See `driven`.
    """
    await run.begin(tools or {}, interrupt)
    async with task_group() as tasks:
        tasks.daemon(run.show())
        tasks.daemon(run.follow_results())
        if interrupt is not None:
            tasks.daemon(run.note_interruption(interrupt))
        yield
        await run.finish()


async def run_once(
    spec: Spec,
    directory: RunDirectory,
    *,
    url: str | None,
    on: str = PROCESSES,
    interrupt: asyncio.Event,
    progress: Progress,
    results: Results | None = None,
) -> None:
    """What `squall run` does: offer the whole workload, show what the pattern survives, drain.

    Args:
        interrupt: Set when the user wants no more tasks offered.
        results: See `driven`.

    Raises:
        ServiceError, BusError: It could not be run.
    """
    async with driven(
        spec, directory, url=url, on=on, interrupt=interrupt, progress=progress, results=results
    ) as run:
        progress(Phase(stage="load"))
        await unless(interrupt, _offer_all(run))


async def _offer_all(run: Run) -> None:
    """Wait until all of the workload was offered, and its pattern was shown."""
    swarm = run.swarm
    async with task_group() as tasks:
        opening = tasks.daemon(swarm.pattern.opening(swarm, run.directory))
        while not swarm.producer.done():
            offered = swarm.offered()
            if offered is not None and not is_streamed(swarm.spec.tasks_from):
                swarm.tell(Left(max(0, swarm.spec.tasks - offered) / swarm.spec.rate_per_s))
            await asyncio.wait({swarm.producer}, timeout=LOOK_S)
        # With the load over, what waits for more of it would wait for ever.
        await asyncio.wait({opening}, timeout=run.swarm.spec.drain_bound_s)


async def unless(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Do something to its end, or until an event is set, which cancels it."""
    async with task_group() as tasks:
        working, waiting = tasks.start(work), tasks.daemon(event.wait())
        await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
