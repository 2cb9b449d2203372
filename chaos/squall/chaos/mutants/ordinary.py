"""How often the ordinary series catches a known-bad variant, in which nothing is aimed at it.

mutant ─► each run of a series, drawn as for any swarm ─► does a check fail? ─► 3 of 5 seeds, and varied

That a variant is caught under the fault that shows it proves its check. Whether a series would have met that
fault is another question.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from squall.chaos.judge.checks import promises_of
from squall.chaos.mutants.mutant import Mutant
from squall.chaos.mutants.prove import noticed
from squall.chaos.plan.series import Plan
from squall.services.run.progress import Begun, Progress

SEED = "seed-"
"""How the names of runs begin whose faults were drawn from a seed; the others are the further runs."""


@dataclass(frozen=True, kw_only=True)
class Ordinary:
    """What a series made of one mutant.

    Attributes:
        seeds: How many there were, the further runs not among them.
        caught: The runs that caught it, by name, and the check that failed first.
    """

    seeds: int
    caught: Mapping[str, str]

    @property
    def seeds_that_catch(self) -> int:
        return sum(name.startswith(SEED) for name in self.caught)

    def __str__(self) -> str:
        counted = f"{self.seeds_that_catch} of {self.seeds}"
        further = [name for name in self.caught if not name.startswith(SEED)]
        return f"{counted}, and {', '.join(further)}" if further else counted


def ordinary(mutant: Mutant, planned: Sequence[Plan], folder: Path, progress: Progress) -> Ordinary:
    """Put a mutant to a series.

    Args:
        planned: The runs of the series.

    Raises:
        ServiceError, BusError: It could not be run.
    """
    caught = {}
    for number, plan in enumerate(planned, 1):
        progress(Begun(run=f"{mutant.name}, ordinary {plan.name}", number=number, runs=len(planned)))
        path = folder / f"{mutant.name}-ordinary-{plan.name}"
        found = noticed(mutant, plan.spec, plan.schedule, path, progress, by=_every_check(mutant, plan))
        if found is not None:
            caught[plan.name], _ = found
    return Ordinary(seeds=sum(plan.name.startswith(SEED) for plan in planned), caught=caught)


def _every_check(mutant: Mutant, plan: Plan) -> Sequence[str]:
    """Ids of all checks of a pattern, whichever of them a mutant of its services fails."""
    promises = promises_of(plan.spec.pattern)
    if not mutant.checks or promises is None:
        return ()
    return [promise.id for promise in promises.promises]
