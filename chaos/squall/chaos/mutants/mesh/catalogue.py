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


COME_AND_GO = tuple(
    Interval(fault="leave", target=f"agent-{number}", at_s=1.5 * number, for_s=1.0) for number in (1, 2, 3, 4)
)
"""One after the other leaves, and joins again."""


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
            "counts-former-members",
            "counts the votes of who has left, by the key of the epoch before",
            ("M1", "M2"),
            *COME_AND_GO,
        ),
        _service(
            "carries-proposals-over",
            "lets a proposal go on under another epoch",
            ("M1", "M2", "M6"),
            *COME_AND_GO,
        ),
        _service(
            "decides-at-the-close",
            "takes what was closed without a quorum for approved",
            ("M1", "M2"),
            *NO_QUORUM,
        ),
        _service(
            "forgets-votes-at-restart",
            "forgets, when it is started again, what was voted",
            ("M1", "M2"),
            *twice("crash", "any-agent"),
        ),
        _service(
            "executes-before-it-is-told",
            "carries out what it has counted itself, before the decision is recorded",
            ("M5",),
            *LATE,
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
