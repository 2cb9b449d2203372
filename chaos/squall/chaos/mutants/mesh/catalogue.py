"""The known-bad variants of mesh's services."""

from __future__ import annotations

from typing import Any

from squall.chaos.mutants.delivering import delivering
from squall.chaos.mutants.mutant import LATE, Catalogue, Mutant, twice
from squall.chaos.plan.schedule import Interval

HERE = "squall.chaos.mutants.mesh"

NO_QUORUM = tuple(
    Interval(fault="one-way-up", target=f"agent-{number}", at_s=at_s, for_s=3.0)
    for at_s in (1.0, 6.0)
    for number in (1, 2, 3)
)
"""Three of five hear of what the others propose, and cannot say what they think of it, for several deadlines.
What they say afterwards comes too late."""


def _service(name: str, what: str, checks: tuple[str, ...], *intervals: Interval, **more: Any) -> Mutant:
    module = f"{HERE}.{name.replace('-', '_')}"
    return Mutant(name, what, checks, intervals, **{"module": module, **more})


CATALOGUE = Catalogue(
    pattern="mesh",
    mutants=(
        _service(
            "half-is-enough",
            "takes half of the members for a majority",
            ("M1", "M2"),
            *LATE,
        ),
        _service(
            "counts-second-votes",
            "counts a member's second vote as another's",
            ("M1", "M2"),
            *LATE,
        ),
        _service(
            "counts-after-the-close",
            "counts votes that come after a proposal was closed",
            ("M1", "M2"),
            *NO_QUORUM,
        ),
        _service(
            "counts-who-seems-alive",
            "takes the quorum from who seems to be alive",
            ("M1", "M2"),
            *twice("blackhole-nofin", "minority", 6.0),
        ),
        _service(
            "decides-for-all",
            "writes down a decision before there is one, and acts on it",
            ("M1", "M2"),
            *LATE,
        ),
        _service(
            "executes-what-was-aborted",
            "carries out what was aborted for good",
            ("M1", "M2"),
            *NO_QUORUM,
        ),
        _service(
            "acks-before-register",
            "acknowledges a decision before its register is written",
            ("M5",),
            *twice("crash", "any-agent", point="agent.acknowledged", nth=3),
        ),
        # Those at whose intervals somebody leads are of other patterns.
        *(
            mutant
            for mutant in delivering(loss="M5")
            if all(interval.target != "leader" for interval in mutant.intervals)
        ),
    ),
)
