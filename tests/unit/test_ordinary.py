"""How many seeds of an ordinary series catch a known-bad variant, and how that is told."""

from __future__ import annotations

import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pytest

from squall.chaos.cli.mutants import _ordinary_row, _print_all, _print_proof
from squall.chaos.cli.setup import runs_of, spec_of
from squall.chaos.judge.checks import promises_of
from squall.chaos.mutants import ordinary as module
from squall.chaos.mutants.catalogues import catalogue_of
from squall.chaos.mutants.harness import HARNESS
from squall.chaos.mutants.ordinary import Ordinary, ordinary
from squall.chaos.mutants.prove import Proof
from squall.chaos.plan.schedule import Schedule
from squall.services.cli.terminal import Terminal
from squall.services.run.progress import Progress
from squall.services.run.spec import Spec

AIMED = next(m for m in catalogue_of("hierarchical").mutants if m.intervals and m.setting)


def test_a_variant_is_put_to_each_run_of_a_series_as_it_is_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    planned = runs_of([spec_of("hierarchical")], range(1, 4), [])
    seen: list[tuple[Spec, Schedule, str, Collection[str]]] = []

    def noticed(
        mutant: Any, spec: Spec, schedule: Schedule, path: Path, progress: Progress, *, by: Collection[str]
    ) -> tuple[str, str] | None:
        seen.append((spec, schedule, path.name, by))
        return {2: ("H1", "lost"), 3: ("U2", "again"), 6: ("E2", "other")}.get(len(seen))

    monkeypatch.setattr(module, "noticed", noticed)
    found = ordinary(AIMED, planned, tmp_path, lambda text: None)
    assert [(spec, schedule) for spec, schedule, _, _ in seen] == [(p.spec, p.schedule) for p in planned]
    assert {name for _, _, name, _ in seen} == {f"{AIMED.name}-ordinary-{plan.name}" for plan in planned}
    promises = promises_of("hierarchical")
    assert promises is not None
    assert set(seen[0][3]) == {promise.id for promise in promises.promises}, "whichever check fails"
    assert found == Ordinary(seeds=3, caught={"seed-2": "H1", "seed-3": "U2", "varied": "E2"})
    assert str(found) == "2 of 3, and varied"
    assert str(Ordinary(seeds=5, caught={})) == "0 of 5"


def test_under_a_variant_of_the_harness_nothing_may_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Collection[str]] = []
    monkeypatch.setattr(module, "noticed", lambda *given, by: asked.append(by))
    ordinary(HARNESS[0], runs_of([spec_of("star")], [1], [])[:1], tmp_path, lambda text: None)
    assert asked == [()]


def test_the_column_is_there_where_it_was_asked_for() -> None:
    proof = Proof(AIMED, "hierarchical", True, "H5", "it said so", 1, True)
    seen = Ordinary(seeds=5, caught={"seed-1": "H1", "seed-4": "H1", "varied": "E2"})
    for given, told in ((seen, True), (None, False)):
        shown = io.StringIO()
        console = Terminal(file=shown, width=110)
        _print_proof(proof, given, console)
        _print_all([(proof, given)], console)
        assert ("ordinary" in shown.getvalue()) is told
        assert ("caught by the ordinary series: 2 of 5, and varied (E2, H1)" in shown.getvalue()) is told
    assert _ordinary_row(seen) == {"seeds": 5, "seeds_that_catch": 2, "caught": dict(seen.caught)}
