"""What a swarm has to do yet once all is healed, and how long that may take."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Collection

from squall.bus import log as bus_log
from squall.bus.subjects import lane_for
from squall.chaos.plan.bounds import Cause, drain_bound_s
from squall.chaos.plan.poison import is_poison, is_poisoned
from squall.services.patterns import reading
from squall.services.run.loaded import Run
from squall.services.run.swarm import Swarm


async def draining(run: Run, causes: Collection[Cause], *, offered: int) -> tuple[int, float]:
    """How many tasks are open, and how long everything accepted may take to end, in seconds.

    Args:
        causes: What the faults of the run can have put in the way.
        offered: How many tasks of the workload have been offered by when draining begins.

    Raises:
        RequestError: The broker does not answer.
    """
    backlog = await run.open_tasks()
    poison = await _poison_left(run.swarm, offered) if is_poisoned(run.swarm.spec.handler) else 0
    return backlog, drain_bound_s(run.swarm.spec, backlog, causes, poison=poison)


async def _poison_left(swarm: Swarm, offered: int) -> int:
    """How many of the tasks that kill who works on them have no register yet."""
    left = 0
    for submission in itertools.islice(swarm.pattern.workload(swarm.spec), offered):
        if is_poison(submission.name):
            register = swarm.swarm.register(lane_for(submission.key), submission.name)
            ask = functools.partial(bus_log.last, swarm.observer, swarm.swarm.stream("RES"), register)
            left += await reading.patiently(ask) is None
    return left
