"""How swarms are set up to be broken: what an experiment changes of a spec, and the runs of a series."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from squall.chaos.judge.checks import promises_of
from squall.chaos.plan.series import EXPERIMENT, Plan, plans
from squall.services.cli.asked import is_file, resolve, said_in
from squall.services.errors import SpecError
from squall.services.intake.store import count
from squall.services.patterns import DEFAULT
from squall.services.run.spec import Spec
from squall.services.run.swarm_toml import convert, with_tasks

LOAD = ("tasks", "pause_leader")
"""What an experiment takes into its own hands though a file says otherwise: the load has no end before all is
healed, and nobody else disturbs the swarm."""

NOTHING: Mapping[str, Any] = {}

SAME = ("seed", "swarm")
"""What makes no other swarm of it."""


def experiment_of(pattern: str, said: Mapping[str, Any] = NOTHING) -> Mapping[str, Any]:
    """The fields of a pattern's spec that differ for an experiment.

    Args:
        said: What is said of the swarm; nothing is preferred that this contradicts.
    """
    promises = promises_of(pattern)
    return EXPERIMENT if promises is None else {**promises.experiment, **promises.preferred(said)}


def spec_of(
    pattern: str, *, tasks_of_load: int | None = None, beside: Mapping[str, Any] = NOTHING, **asked: Any
) -> Spec:
    """The pattern set up for an experiment, but for what a file says or is asked for.

    Args:
        pattern: Its name, or the path of a file.
        tasks_of_load: So many tasks, or what a file says; without, the load ends when all is healed.
        beside: What will be said of the swarm besides, and is not looked at here.
        asked: Fields of the spec; None for what is not asked for.

    Raises:
        SpecError: There is no such pattern, or the file cannot be used.
    """
    ends = {} if tasks_of_load is None else {"tasks": tasks_of_load}
    if not is_file(pattern):
        given = _given(asked)
        return resolve(pattern, **{**experiment_of(pattern, {**given, **beside}), **ends, **given})
    says = with_tasks(said_in(Path(pattern)), pattern)
    name = says.get("pattern", DEFAULT)
    said_of_it = {**says, **_given(asked), **beside}
    experiment = experiment_of(name, said_of_it) if isinstance(name, str) else {}
    # A user's own tasks are as many as there are, however long the load should last.
    own = ("tasks",) if says.get("tasks_from") else ()
    load = {field: experiment[field] for field in LOAD if field in experiment and field not in (*ends, *own)}
    said = {**ends, **says, **load, **_given(asked)}
    try:
        spec = convert({**experiment, **said}, pattern)
    except SpecError:
        # A pattern's own fields are set for its own number of agents; a file may have more.
        spec = convert(
            {**{field: experiment[field] for field in EXPERIMENT if field in experiment}, **said}, pattern
        )
    return msgspec.structs.replace(spec, tasks=count(spec)) if spec.tasks_from else spec


def is_narrowed(spec: Spec) -> bool:
    """Whether a swarm is another than an experiment with its pattern is made for."""
    ordinary = spec_of(spec.pattern)
    return any(
        getattr(spec, field) != getattr(ordinary, field)
        for field in spec.__struct_fields__
        if field not in SAME
    )


def _given(asked: Mapping[str, Any]) -> Mapping[str, Any]:
    return {field: value for field, value in asked.items() if value is not None}


def runs_of(specs: Sequence[Spec], seeds: Sequence[int], faults: Sequence[tuple[str, str]]) -> list[Plan]:
    """The runs that are asked for, in order, named after their patterns where there are several.

    Raises:
        FaultError: A fault cannot strike its target.
    """
    return [
        _named(plan, label, several=len(specs) > 1)
        for spec, label in zip(specs, _labels(specs), strict=True)
        for plan in _plans(spec, seeds, faults)
    ]


def more_runs_of(
    specs: Sequence[Spec],
    first: int,
    faults: Sequence[tuple[str, str]],
    *,
    for_s: float,
    now_s: Callable[[], float],
) -> Iterator[Plan]:
    """Runs with new seeds, each seed under every pattern, until a time from the first on is over."""
    labels, until_s = _labels(specs), now_s() + for_s
    for seed in itertools.count(first):
        for spec, label in zip(specs, labels, strict=True):
            if now_s() >= until_s:
                return
            yield _named(_plans(spec, [seed], faults)[0], label, several=len(specs) > 1)


def _plans(spec: Spec, seeds: Sequence[int], faults: Sequence[tuple[str, str]]) -> list[Plan]:
    promises = promises_of(spec.pattern)
    if promises is None:
        return plans(spec, seeds, faults, lambda spec, seed: ())
    return plans(spec, seeds, faults, promises.runs, to_an_effect=promises.to_an_effect)


def _labels(specs: Sequence[Spec]) -> list[str]:
    """The patterns' names; with their places before them where one is there twice."""
    counts = Counter(spec.pattern for spec in specs)
    return [
        spec.pattern if counts[spec.pattern] == 1 else f"{place}-{spec.pattern}"
        for place, spec in enumerate(specs, 1)
    ]


def _named(plan: Plan, label: str, *, several: bool) -> Plan:
    return replace(plan, name=f"{label}-{plan.name}") if several else plan
