"""How a swarm is set up to be broken: the experiment's fields, but for what a file says or is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from squall.chaos.cli.setup import is_narrowed, runs_of, spec_of
from squall.services.errors import SpecError

HANDLER = "mine.py:decide"


def written(path: Path, text: str) -> str:
    file = path / "swarm.toml"
    file.write_text(text)
    return str(file)


def test_what_a_file_does_not_say_is_as_in_any_experiment(tmp_path: Path) -> None:
    """Else a file that names the venue alone would raise the load as well."""
    ordinary = spec_of("hierarchical")
    spec = spec_of(written(tmp_path, 'venue = "dumb"\n'))
    differs = [f for f in spec.__struct_fields__ if getattr(spec, f) != getattr(ordinary, f)]
    assert (spec.pattern, differs) == ("hierarchical", ["venue"])


def test_a_file_has_the_fields_of_its_pattern(tmp_path: Path) -> None:
    spec = spec_of(written(tmp_path, 'pattern = "star"\nrate_per_s = 50\n'))
    assert spec == spec_of("star", rate_per_s=50.0)


@pytest.mark.parametrize(
    ("asked", "narrowed"),
    [({}, False), ({"seed": 9}, False), ({"agents": 6}, True), ({"handler": HANDLER}, True)],
)
def test_a_series_is_narrowed_by_whatever_differs_but_the_seed(asked: dict[str, Any], narrowed: bool) -> None:
    assert is_narrowed(spec_of("hierarchical", **asked)) is narrowed


def test_what_is_asked_for_comes_before_what_a_file_says(tmp_path: Path) -> None:
    spec = spec_of(written(tmp_path, "rate_per_s = 50\ntasks = 10\n"), rate_per_s=60.0)
    assert (spec.rate_per_s, spec.tasks) == (60.0, spec_of("hierarchical").tasks)
    assert spec_of("hierarchical", tasks=400).tasks == 400


def test_a_handler_of_ones_own_is_not_replaced_by_another_in_further_runs() -> None:
    names = [plan.name for plan in runs_of([spec_of("hierarchical", handler=HANDLER)], [1], [])]
    assert names == ["seed-1", "outage", "distributed"]
    assert "varied" in [plan.name for plan in runs_of([spec_of("hierarchical", agents=6)], [1], [])]


@pytest.mark.parametrize(
    ("says", "workload"),
    [
        ("", "sequenced"),
        ("rate_per_s = 20\nshed = 'drop-oldest'\nbacklog_max = 9\n", "sequenced"),
        ("order = 'strict'\n", "sequenced"),
        ("order = 'relaxed'\n", "independent"),
        ("workload = 'independent'\n", "independent"),
        ("effects = 'none'\n", "independent"),
        ("handler = 'squall.chaos.inject.handlers:varied'\n", "independent"),
        ("stages = ['squall.services.trading.rounds:ingest', 'mine:order']\n", "independent"),
        ("closed = true\nlaps_max = 2\n", "independent"),
    ],
)
def test_orders_of_a_pattern_that_keeps_them_follow_each_other_unless_something_else_is_asked_for(
    says: str, workload: str, tmp_path: Path
) -> None:
    spec = spec_of(written(tmp_path, f"pattern = 'ring'\n{says}"))
    assert (spec.workload, spec.rate_per_s) == (workload, 20.0 if "rate" in says else 40.0)
    if says in ("", "order = 'relaxed'\n"):
        asked: dict[str, Any] = {"order": "relaxed"} if says else {}
        assert spec_of("ring", **asked) == spec


def test_a_file_of_no_pattern_that_there_is_is_refused(tmp_path: Path) -> None:
    for text in ('pattern = "mash"\n', "pattern = 3\n", "pattern = \n"):
        with pytest.raises(SpecError):
            spec_of(written(tmp_path, text))


def test_a_file_with_more_agents_than_an_experiment_is_set_up_for_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "swarm.toml"
    path.write_text('pattern = "hierarchical"\nagents = 8\nslots = 16\n')
    spec = spec_of(str(path))
    assert (spec.agents, spec.slots, spec.ack_wait_s) == (8, 16, 1.5)
    path.write_text('pattern = "hierarchical"\nagents = 8\nslots = 16\nwindow_max = 100\n')
    with pytest.raises(SpecError, match="window_max 100 would starve"):
        spec_of(str(path))


def test_a_load_that_ends_has_the_tasks_of_a_file_or_as_many_as_are_said(tmp_path: Path) -> None:
    path = tmp_path / "swarm.toml"
    path.write_text('pattern = "star"\n')
    assert spec_of(str(path), tasks_of_load=60).tasks == 60
    path.write_text('pattern = "star"\ntasks = 70\n')
    assert spec_of(str(path), tasks_of_load=60).tasks == 70
    assert spec_of(str(path), tasks_of_load=60, tasks=80).tasks == 80
    assert spec_of(str(path)).tasks == spec_of("star").tasks
