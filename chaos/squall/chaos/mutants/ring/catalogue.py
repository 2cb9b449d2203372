"""The known-bad variants of the services of stages in a row."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from squall.chaos.mutants.delivering import delivering
from squall.chaos.mutants.mutant import LATE, Catalogue, Mutant, twice
from squall.chaos.plan.schedule import Interval
from squall.services.run.spec import INDEPENDENT
from squall.services.trading import rounds

HERE = "squall.chaos.mutants.ring"

SOMETIMES = twice("errors", "stage-2", 2.0, magnitude={"every": 3})
"""Some attempts fail, and are made again after those that came in later could have been."""

WHOLLY = (Interval(fault="errors", target="stage-3", at_s=0.5, for_s=9.0),)
"""All attempts of a stage fail, for longer than it may take until it is left alone, and is tried again."""

SHEDDING = {"shed": "drop-oldest", "backlog_max": 20}
"""The oldest of what waits are shed, and soon."""

DIVERTING = {**SHEDDING, "shed": "divert"}
"""They are set aside before."""

DIVERTER_DIES = (*WHOLLY, Interval(fault="crash", target="leader", at_s=4.0, point="router.copied"))
"""Whoever sets tasks aside dies between the copy and the register."""

HELD_UP = (
    Interval(fault="slow", target="stage-3", at_s=0.5, for_s=8.0, magnitude={"every": 1, "delay_ms": 1500}),
)
"""A stage takes so long that more comes than it does, and not so long that it is left alone."""

LEAVING = (
    Interval(fault="leave", target="agent-2", at_s=1.0, for_s=5.0),
    Interval(fault="leave", target="agent-7", at_s=2.0, for_s=5.0),
)
"""Instances of two stages leave under load and join again: their lanes go to others and come back."""

COMING_BACK = (
    Interval(fault="slow", target="agent-6", at_s=0.2, for_s=14.0, magnitude={"every": 1, "delay_ms": 1000}),
    Interval(fault="leave", target="agent-2", at_s=1.0, for_s=5.0),
)
"""An instance leaves and comes back, to lanes of which another has attempts under way that take long."""


THREE_EACH = {"agents": 12, "eject_s": 6.0, "drain_s": 3.0}
"""So many instances of each stage that one of them may be left out."""

ONE_FAILS = (Interval(fault="errors", target="agent-7", at_s=0.5, for_s=9.0),)
TWO_OF_FIVE_FAIL = (*ONE_FAILS, Interval(fault="errors", target="agent-11", at_s=0.6, for_s=9.0))
"""Of which all attempts fail, where others of their stage end their tasks well: one of three, two of five."""

CLOSED = {"closed": True, "laps_max": 2, "stages": rounds.STAGES, "workload": INDEPENDENT}
"""Stages that are closed: of each key every fourth task is to go round more often than it may."""


def _service(name: str, what: str, checks: tuple[str, ...], *intervals: Interval, **more: Any) -> Mutant:
    module = f"{HERE}.{name.replace('-', '_')}"
    return Mutant(name, what, checks, intervals, **{"module": module, **more})


CATALOGUE = Catalogue(
    pattern="ring",
    mutants=(
        _service("begins-out-of-turn", "begins tasks of one lane as they come", ("R1",), *SOMETIMES),
        _service(
            "acks-before-register",
            "acknowledges a task before the next stage has it",
            ("R2",),
            *twice("crash", "any-agent", point="agent.acknowledged", nth=3),
        ),
        _service(
            "names-results-by-attempt",
            "gives what a repeat comes to another name at the next stage",
            ("R2",),
            *SOMETIMES,
        ),
        _service(
            "half-open-lets-all-through",
            "lets everything through while a breaker is half-open",
            ("R4",),
            *WHOLLY,
        ),
        _service("probes-alone", "has a breaker in each process and none for all", ("R4",), *WHOLLY),
        _service("never-opens", "goes on calling what fails", ("R3",), *WHOLLY),
        _service("never-closes", "leaves alone for ever what has failed once", ("R3", "L1", "L2"), *WHOLLY),
        _service("counts-what-was-well", "opens a breaker though nothing failed", ("R3",), *LATE),
        _service(
            "grows-before-drained",
            "gives lanes to the next while the one before holds messages of them",
            ("R7",),
            *COMING_BACK,
        ),
        _service(
            "leaves-no-filter", "leaves a consumer that has no lane without a filter", ("R7",), *LEAVING
        ),
        _service(
            "hop-bound-ignored",
            "has a task go round however many laps it has made",
            ("R6",),
            *twice("crash", "agent-4", point="agent.committed"),
            setting=CLOSED,
        ),
        _service(
            "ejects-whoever-failed",
            "leaves an instance out that fails now and then",
            ("R9",),
            Interval(fault="errors", target="agent-3", at_s=0.5, for_s=9.0, magnitude={"every": 3}),
            setting=THREE_EACH,
        ),
        _service(
            "ejects-too-many",
            "leaves more than a third of a stage out",
            ("R9",),
            *TWO_OF_FIVE_FAIL,
            setting={**THREE_EACH, "agents": 20},
        ),
        _service(
            "keeps-who-is-out",
            "says that an instance is left out, and leaves it its lanes",
            ("R9",),
            *ONE_FAILS,
            setting={**THREE_EACH, "eject_s": 20.0},
        ),
        _service("sheds-newest", "sheds what came last", ("R8",), *WHOLLY, setting=SHEDDING),
        _service(
            "sheds-what-runs",
            "sheds the oldest of a stage that goes on, which an instance is at",
            ("R8",),
            *HELD_UP,
            setting=SHEDDING,
        ),
        _service(
            "sheds-unrecorded",
            "takes out what it sheds, and writes no register of it",
            ("R2",),
            *WHOLLY,
            setting=SHEDDING,
        ),
        # Those at whose intervals somebody leads are of patterns whose leader takes tasks in.
        _service(
            "diverts-before-copying",
            "writes the register of what it sets aside before there is a copy",
            ("R8",),
            *DIVERTER_DIES,
            setting=DIVERTING,
        ),
        # They break what is done with orders in any order: of some, nobody gives up what others follow.
        *(
            replace(mutant, setting={**mutant.setting, "workload": INDEPENDENT})
            for mutant in delivering(loss="R2")
            if all(interval.target != "leader" for interval in mutant.intervals)
        ),
    ),
)
