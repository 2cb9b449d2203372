"""Known-bad variants of what is done at both ends, at the venue and by the producer, whatever the pattern."""

from __future__ import annotations

from squall.chaos.mutants.mutant import LATE, Mutant, twice
from squall.chaos.plan.schedule import Interval

HERE = "squall.chaos.mutants"

WHILE_IT_WAITS = (
    Interval(fault="pause", target="leader", at_s=0.5, for_s=2.5),
    Interval(fault="crash", target="producer", at_s=2.0),
)
"""Nobody takes what is submitted, so that much of it waits for an answer when the producer ends."""


def delivering(*, loss: str) -> tuple[Mutant, ...]:
    """The variants.

    Args:
        loss: The pattern's check that nothing is lost.
    """

    def of_ends(name: str, what: str, checks: tuple[str, ...], intervals: tuple[Interval, ...]) -> Mutant:
        return Mutant(name, what, checks, intervals, f"{HERE}.{name.replace('-', '_')}")

    return (
        of_ends(
            "drops-on-venue-error",
            "takes orders for carried out on which the venue failed",
            (loss,),
            twice("errors", "venue", 1.5),
        ),
        of_ends(
            "refuses-on-venue-error",
            "takes an error of the venue for its word that it does not take the order",
            (loss, "E1"),
            twice("errors", "venue", 1.5),
        ),
        of_ends("sends-twice", "sends every fifth order to the venue once more", ("U2",), LATE),
        of_ends(
            "slow-after-error",
            "waits before every order once the venue has failed",
            ("L3",),
            twice("errors", "venue", 1.0),
        ),
        of_ends(
            "skips-in-flight",
            "takes for settled, once it is started again, what it had begun to submit",
            (loss,),
            WHILE_IT_WAITS,
        ),
        of_ends(
            "refuses-at-once",
            "takes the broker's first refusal for the last",
            ("U1",),
            twice("pause", "leader", 2.5),
        ),
        of_ends(
            "waits-ever-longer",
            "pauses ever longer between two tries to connect",
            ("L4",),
            (Interval(fault="refuse", target="all-agents", at_s=0.5, for_s=14.0),),
        ),
        of_ends("dates-as-it-sends", "dates a task when it comes to send it", ("U1",), LATE),
        of_ends(
            "idles-after-restart",
            "offers nothing for a while once it is started again",
            ("U1",),
            (*twice("crash", "producer"), *LATE),
        ),
    )
