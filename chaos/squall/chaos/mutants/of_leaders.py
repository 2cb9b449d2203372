"""Known-bad variants of what whoever leads reads and writes, whatever the pattern."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from squall.chaos.mutants.mutant import Mutant, twice
from squall.chaos.plan.schedule import Interval

HERE = "squall.chaos.mutants"

ROOMY = {"lease_s": 5.0, "ingress_max": 1000}
"""Nobody follows a leader whose way is severed, and more is submitted meanwhile: a successor would read all
of it anew, and where nothing comes after what is lost, the heartbeats of the broker tell of it."""

DEAF_S = 14.0
"""For how long nothing that a leader sends arrives: longer than it waits for an answer to one batch, and not
as long as it waits for two. What comes is on its way to it meanwhile, so it has something to write."""


def of_leaders(*, loss: str, follows: str, alone: Mapping[str, Any]) -> tuple[Mutant, ...]:
    """The variants.

    Args:
        loss, follows: The pattern's checks that nothing is lost, and that a lost leader is followed.
        alone: Sets a swarm up so that nobody can follow its leader.
    """
    return (
        Mutant(
            "gap-ignored",
            "reads on where records are missing",
            (loss,),
            twice("sever", "leader", 1.5),
            module=f"{HERE}.gap_ignored",
            setting=ROOMY,
        ),
        Mutant(
            "store-unknown-skipped",
            "goes on as if a batch of unknown outcome had been stored",
            (loss,),
            (Interval(fault="one-way-up", target="leader", at_s=0.5, for_s=DEAF_S),),
            module=f"{HERE}.store_unknown_skipped",
            setting=alone,
        ),
        Mutant(
            "leaves-silently",
            "leaves and lets its lease run out",
            (follows,),
            twice("hand-over", "leader"),
            module=f"{HERE}.leaves_silently",
            setting=ROOMY,
        ),
        Mutant(
            "hands-over-to-itself",
            "stands again as soon as it has given its term up",
            (follows,),
            twice("hand-over", "leader"),
            module=f"{HERE}.hands_over_to_itself",
        ),
    )
