"""What a pattern promises is one value, found by its name, also where another package brings it."""

from __future__ import annotations

import importlib.metadata
import itertools
import sys
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import pytest

from squall.chaos.cli.setup import experiment_of, more_runs_of, runs_of, spec_of
from squall.chaos.evidence.model import History
from squall.chaos.judge import checks
from squall.chaos.judge.case import Case, case_of
from squall.chaos.judge.checks import operations_of, promises_of
from squall.chaos.judge.decide import Finding
from squall.chaos.judge.promise import Promise, Promises
from squall.chaos.judge.run import verdicts
from squall.chaos.mutants.catalogues import BUILT_IN, catalogue_of
from squall.services.patterns import pattern_of
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.result import Result

BROUGHT = "promises_brought_by_a_test"


def kept(case: Case) -> Finding:
    return Finding("pass", "It is kept.")


MINE = Promises(
    pattern="mine",
    promises=(Promise(id="X1", name="kept", text="It is kept.", check=kept, sometimes=True),),
)


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package is installed that brings `MINE`."""
    module = ModuleType(BROUGHT)
    module.__dict__["PROMISES"] = MINE
    monkeypatch.setitem(sys.modules, BROUGHT, module)
    entry = importlib.metadata.EntryPoint("mine", f"{BROUGHT}:PROMISES", checks.GROUP)
    found = {(checks.GROUP, "mine"): [entry]}
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda *, group, name: found.get((group, name), [])
    )
    promises_of.cache_clear()
    yield
    promises_of.cache_clear()


def test_what_promises_something_has_known_bad_variants_that_break_it() -> None:
    assert {promises.pattern for promises in checks.BUILT_IN} == {known.pattern for known in BUILT_IN}


@pytest.mark.parametrize("pattern", [promises.pattern for promises in checks.BUILT_IN])
def test_what_promises_name_is_there(pattern: str) -> None:
    promises = promises_of(pattern)
    assert promises is not None
    ids = [promise.id for promise in promises.promises]
    assert len(set(ids)) == len(ids)
    assert not {"V0", "V1", "V2"} & set(ids), "these are of the series"
    assert {promise.exercised for promise in promises.promises} <= {"", *Result.__struct_fields__}
    further = {plan.name for plan in promises.runs(spec_of(pattern), 1)}
    assert {promise.shown_by for promise in promises.promises} <= {"", *further}
    assert set(promises.to_an_effect) <= set(pattern_of(pattern).points())
    assert promises.batches is None or promises.batches in promises.operations.values()
    assert spec_of(pattern).pattern == pattern
    caught_by = {check for mutant in catalogue_of(pattern).mutants for check in mutant.checks}
    assert caught_by <= set(ids)


def test_a_package_brings_the_promises_of_its_own_pattern(brought: None) -> None:
    assert promises_of("mine") is MINE
    assert operations_of("mine") == {}
    assert promises_of("hierarchical") is not None


def test_nothing_is_promised_of_a_pattern_that_nobody_knows() -> None:
    assert (promises_of("carousel"), promises_of(None), dict(operations_of("carousel"))) == (None, None, {})
    assert experiment_of("carousel")["lease_s"] == 1.0


def test_new_seeds_go_on_under_every_pattern_and_their_runs_are_told_apart() -> None:
    two = [HierarchicalSpec(), HierarchicalSpec(agents=3)]
    first = [plan.name for plan in runs_of(two, [4], [("latency", "")])]
    assert first == ["1-hierarchical-seed-4", "2-hierarchical-seed-4"]
    clock = itertools.count()
    more = more_runs_of(two, 5, [("latency", "")], for_s=4.5, now_s=lambda: float(next(clock)))
    assert [(plan.name, plan.spec.agents) for plan in more] == [
        ("1-hierarchical-seed-5", 4),
        ("2-hierarchical-seed-5", 3),
        ("1-hierarchical-seed-6", 4),
        ("2-hierarchical-seed-6", 3),
    ]
    assert [plan.name for plan in runs_of(two[:1], [4], [("latency", "")])] == ["seed-4"]


def test_a_promise_that_a_run_is_not_held_to_is_not_checked() -> None:
    never = replace(MINE.promises[0], id="X2", when=lambda history: False)
    promises = replace(MINE, promises=(*MINE.promises, never))
    assert [check.id for check in verdicts(case_of(History(), None), promises)] == ["X1"]


def test_a_promise_that_breaks_is_unknown_and_the_others_are_judged() -> None:
    def broken(history: History) -> bool:
        raise KeyError("agents")

    breaks = replace(MINE.promises[0], id="X0", when=broken)
    promises = replace(MINE, promises=(breaks, *MINE.promises))
    first, second = verdicts(case_of(History(), None), promises)
    assert (first.id, first.verdict, second.id) == ("X0", "unknown", "X1")
    assert "KeyError" in first.detail
