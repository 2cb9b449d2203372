"""The known-bad variants of star's services."""

from __future__ import annotations

from typing import Any

from squall.chaos.judge.checks.star import without_hubs
from squall.chaos.mutants.delivering import delivering
from squall.chaos.mutants.handling import handling
from squall.chaos.mutants.mutant import LATE, Catalogue, Mutant, twice
from squall.chaos.mutants.of_leaders import of_leaders
from squall.chaos.plan.schedule import Interval
from squall.chaos.plan.series import EXPERIMENT, POISONED

HERE = "squall.chaos.mutants.star"

WITHOUT_HUBS = without_hubs(EXPERIMENT["lease_s"])


def _service(name: str, what: str, checks: tuple[str, ...], *intervals: Interval, **more: Any) -> Mutant:
    module = f"{HERE}.{name.replace('-', '_')}"
    return Mutant(name, what, checks, intervals, **{"module": module, **more})


CATALOGUE = Catalogue(
    pattern="star",
    mutants=(
        _service(
            "acks-before-request",
            "acknowledges a task before its request is stored",
            ("S4",),
            *twice("crash", "any-agent", point="agent.acknowledged", nth=3),
        ),
        _service(
            "hub-without-fence",
            "decides as hub without the term as its fence",
            ("S1", "S2"),
            *twice("pause", "leader", 2.5),
        ),
        _service(
            "obeys-any-term",
            "obeys whichever hub announced itself last",
            ("S2",),
            *twice("pause", "leader", 2.5),
        ),
        _service(
            "degrades-after-one-lease",
            "is degraded after one lease of silence",
            ("S5",),
            *WITHOUT_HUBS,
        ),
        _service(
            "slow-to-follow",
            "takes over after six leases of silence",
            ("S3",),
            *twice("crash", "leader"),
        ),
        _service(
            "impatient-standby",
            "takes over from a hub that is well",
            ("S6",),
            *twice("latency", "standby", 1.0),
        ),
        _service(
            "gateway-lets-all-through",
            "sends everything to the venue while nobody leads",
            ("S5",),
            *WITHOUT_HUBS,
        ),
        _service(
            "never-degraded",
            "does not notice that nobody leads",
            ("S5",),
            *WITHOUT_HUBS,
        ),
        _service(
            "decides-anew",
            "decides once more, after a fail-over, what was decided before",
            ("S4", "E1"),
            *twice("crash", "leader", point="hub.decided", nth=3),
        ),
        _service(
            "forgets-positions",
            "takes over with nothing held",
            ("E1",),
            *twice("crash", "leader", point="hub.decided", nth=3),
        ),
        _service(
            "newest-first",
            "carries orders to the venue newest first",
            ("E1",),
            *LATE,
        ),
        _service(
            "reduces-for-ever",
            "asks for reductions only, once it was degraded",
            ("S5",),
            *WITHOUT_HUBS,
        ),
        _service(
            "announces-after-leaving",
            "goes on announcing a term that it has given up",
            ("S2",),
            *twice("pause", "leader", 2.5),
            *LATE,
        ),
        _service(
            "letters-without-input",
            "writes dead letters without the input of their tasks",
            ("S4",),
            *LATE,
            setting=POISONED,
        ),
        _service(
            "reduces-past-what-waits",
            "sends reductions past orders of their symbol that wait for a hub",
            ("S5",),
            *WITHOUT_HUBS,
        ),
        _service(
            "repeats-while-degraded",
            "sends again, while nobody leads, whatever the venue failed on",
            ("S5",),
            *WITHOUT_HUBS,
        ),
        *handling(loss="S4", follows="S3"),
        *delivering(loss="S4"),
        *of_leaders(loss="S4", follows="S3", alone={"hubs": 1}),
    ),
)
