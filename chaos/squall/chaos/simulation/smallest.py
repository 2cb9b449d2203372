"""A failing schedule made small: fewer faults, shorter ones, fewer tasks, as long as the same check fails.

The same seed comes to the same, so once is enough to know.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from msgspec.structs import replace

from squall.chaos.plan.schedule import Schedule
from squall.chaos.plan.shrink import shrink, within
from squall.chaos.simulation.outcome import Outcome, Plan, outcome

TASKS_MIN = 2


def smallest(plan: Plan, failed: Outcome, *, budget_s: float, now_s: Callable[[], float]) -> Plan:
    """What is left of a failing seed's swarm and schedule: a plan in which nothing is drawn.

    Args:
        budget_s: For how long to try.
        now_s: A clock that is never set back.
    """
    spec, schedule = plan.of(failed.seed)
    checks = {check.id for check in failed.failed}
    fixed = replace(plan, spec=spec, is_drawn=False, schedule=schedule)

    def fails_in(tried: Plan) -> bool:
        found = outcome(tried, failed.seed)
        return bool(checks & {check.id for check in found.failed})

    def fails(smaller: Schedule) -> bool:
        return fails_in(replace(fixed, schedule=smaller))

    schedule = shrink(schedule, within(fails, budget_s, now_s))
    fixed = replace(fixed, schedule=schedule)
    until_s = now_s() + budget_s
    for tasks in _fewer(spec.tasks):
        tried = replace(fixed, spec=replace(fixed.spec, tasks=tasks))
        if now_s() > until_s or not fails_in(tried):
            break
        fixed = tried
    return fixed


def _fewer(tasks: int) -> Iterator[int]:
    while (tasks := tasks // 2) >= TASKS_MIN:
        yield tasks
