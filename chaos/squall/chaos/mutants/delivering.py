"""Known-bad variants of what is done at the venue's door, whatever the pattern."""

from __future__ import annotations

from squall.chaos.mutants.mutant import Mutant, twice


def delivering(*, loss: str) -> tuple[Mutant, ...]:
    """The variants.

    Args:
        loss: The pattern's check that nothing is lost.
    """
    return (
        Mutant(
            "drops-on-venue-error",
            "takes orders for carried out on which the venue failed",
            (loss,),
            twice("errors", "venue", 1.5),
            "squall.chaos.mutants.drops_on_venue_error",
        ),
    )
