"""Shrinks a schedule that makes a check fail to one that still does, and writes it down as a test. Pure.

    kinds of faults ─► intervals (delta debugging) ─► narrower targets ─► shorter times

What fails is a matter of chance where real processes meet: a smaller schedule counts as failing when the same
check fails in enough of several repeats. So expect it to be small, not minimal.

Source: A. Zeller, R. Hildebrandt, Simplifying and Isolating Failure-Inducing Input (IEEE Transactions on
Software Engineering 28, 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from msgspec.structs import asdict, replace

from squall.chaos.plan.schedule import Interval, Schedule, toml
from squall.services.run.spec import Spec

FAILS_MIN = 2
REPEATS = 3
"""In how many of how many repeats the same check must fail."""

NARROWER = {"all-agents": "minority", "minority": "any-agent"}
"""Of the targets that mean many nodes, those that mean fewer."""
HALVINGS = 3

T = TypeVar("T")
Fails = Callable[[Schedule], bool]


def often_enough(fails: Fails, *, least: int = FAILS_MIN, repeats: int = REPEATS) -> Fails:
    """Fails when it does in at least so many of so many repeats; no more are made than it takes to know."""

    def judged(schedule: Schedule) -> bool:
        failed = 0
        for made in range(repeats):
            failed += fails(schedule)
            left = repeats - made - 1
            if failed >= least or failed + left < least:
                break
        return failed >= least

    return judged


def within(fails: Fails, budget_s: float, now_s: Callable[[], float]) -> Fails:
    """Says that nothing smaller fails any more once the budget is spent, which ends the search.

    Args:
        now_s: A clock that is never set back.
    """
    end_s = now_s() + budget_s
    return lambda schedule: now_s() < end_s and fails(schedule)


def shrink(schedule: Schedule, fails: Fails) -> Schedule:
    """The smallest schedule found that still fails.

    Args:
        fails: Whether a schedule makes the check fail.
    """

    def fails_with(intervals: Sequence[Interval]) -> bool:
        return fails(replace(schedule, intervals=tuple(intervals)))

    left = list(schedule.intervals)
    for kind in sorted({interval.fault for interval in left}):
        others = [interval for interval in left if interval.fault != kind]
        if others and fails_with(others):
            left = others
    left = ddmin(left, fails_with)
    for place, interval in enumerate(left):
        left[place] = _narrowed(left, place, interval, fails_with)
    return replace(schedule, intervals=tuple(left))


def ddmin(items: list[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """A part of the items that still fails, and of which no single one can be left out.

    Args:
        items: Fail as a whole.
    """
    parts = 2
    while len(items) > 1:
        size = -(-len(items) // parts)
        chunks = [items[start : start + size] for start in range(0, len(items), size)]
        complements = [[x for other in chunks if other is not chunk for x in other] for chunk in chunks]
        candidates = [*chunks, *complements] if len(chunks) > 2 else chunks
        smaller = next((candidate for candidate in candidates if fails(candidate)), None)
        if smaller is not None:
            parts = 2 if len(smaller) <= size else max(parts - 1, 2)
            items = smaller
        elif size == 1:
            break
        else:
            parts = min(len(items), 2 * parts)
    return items


def _narrowed(
    left: list[Interval], place: int, interval: Interval, fails: Callable[[Sequence[Interval]], bool]
) -> Interval:
    """One interval with a narrower target and a shorter time, as far as it still fails."""

    def still(changed: Interval) -> bool:
        return fails([*left[:place], changed, *left[place + 1 :]])

    while not interval.point and (target := NARROWER.get(interval.target)):
        if not still(replace(interval, target=target)):
            break
        interval = replace(interval, target=target)
    for _ in range(HALVINGS):
        shorter = replace(interval, for_s=round(interval.for_s / 2, 3))
        if shorter.for_s < 0.1 or not still(shorter):
            break
        interval = shorter
    return interval


def as_test(schedule: Schedule, spec: Spec, check: str, name: str, *, experiment: Mapping[str, Any]) -> str:
    """A pytest case that carries the schedule out and fails as the check does.

    Args:
        check, name: Of the promise that was broken.
        experiment: What the fixture sets a swarm of this pattern up with.
    """
    ordinary = {**asdict(type(spec)(pattern=spec.pattern)), **experiment}
    changed = {field: value for field, value in asdict(spec).items() if value != ordinary[field]}
    given = ", ".join(f"{field}={value!r}" for field, value in {"pattern": spec.pattern, **changed}.items())
    return (
        f'"""{name} failed: found by squall chaos, seed {spec.seed}."""\n\n'
        "import pytest\n\n"
        "from squall.chaos.inject.experiment import carry_out\n"
        "from squall.chaos.inject.schedule_file import parse\n\n"
        f'SCHEDULE = """\n{toml(schedule)}"""\n\n\n'
        f"@pytest.mark.squall({given})\n"
        f"async def test_{name.replace('-', '_')}_holds(swarm, nemesis):\n"
        "    await carry_out(parse(SCHEDULE, swarm.spec))(nemesis)\n"
        "    result = await swarm.finish()\n"
        f'    assert next(check for check in result.checks if check.id == "{check}").verdict == "pass"\n'
    )
