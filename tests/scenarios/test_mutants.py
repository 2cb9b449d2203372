"""Known-bad variants are caught by the check that must see them, and the good one passes the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from squall.chaos.cli.setup import runs_of, spec_of
from squall.chaos.mutants.catalogues import BUILT_IN
from squall.chaos.mutants.harness import HARNESS
from squall.chaos.mutants.mutant import Mutant
from squall.chaos.mutants.ordinary import ordinary
from squall.chaos.mutants.prove import SEEDS_MAX, prove
from squall.services.patterns import DEFAULT

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow, pytest.mark.timeout(900)]

ALL = [(catalogue.pattern, mutant) for catalogue in BUILT_IN for mutant in catalogue.mutants]


@pytest.mark.everything
@pytest.mark.parametrize(
    ("pattern", "mutant"),
    [
        pytest.param(pattern, mutant, id=f"{pattern}-{mutant.name}")
        for pattern, mutant in [*ALL, *((DEFAULT, mutant) for mutant in HARNESS)]
    ],
)
def test_it_is_caught_and_the_good_variant_passes(pattern: str, mutant: Mutant, tmp_path: Path) -> None:
    proof = prove(mutant, spec_of(pattern), tmp_path, lambda text: None)
    assert proof.caught, f"{mutant.name} survived {SEEDS_MAX} seeds"
    assert proof.good, f"the good variant does not pass under {mutant.fault}"
    assert not mutant.checks or proof.check in mutant.checks
    assert proof.why


@pytest.mark.everything
def test_an_ordinary_seed_catches_a_variant_that_shows_under_any_fault(tmp_path: Path) -> None:
    mutant = next(mutant for pattern, mutant in ALL if mutant.name == "drops-what-it-cannot-read")
    planned = runs_of([spec_of(DEFAULT)], [1], [])[:1]
    assert ordinary(mutant, planned, tmp_path, lambda text: None).caught == {"seed-1": "U1"}


def test_each_variant_of_a_service_has_a_file_of_its_name() -> None:
    folder = Path(__file__).parents[2] / "chaos" / "squall" / "chaos" / "mutants"
    unnamed = {"dumb-venue"}  # a setting of the real venue
    for pattern, mutant in ALL:
        name = f"{mutant.name.replace('-', '_')}.py"
        own, shared = folder / pattern.replace("-", "_") / name, folder / name
        assert mutant.name in unnamed or own.exists() or shared.exists()
