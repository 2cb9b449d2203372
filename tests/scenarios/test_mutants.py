"""Known-bad variants are caught by the check that must see them, and the good one passes the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from squall.chaos.mutants.catalogue import MUTANTS, SERVICES, Mutant
from squall.chaos.mutants.prove import SEEDS_MAX, prove
from squall.chaos.plan.series import EXPERIMENT
from squall.services.cli.main import resolve

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow, pytest.mark.timeout(900)]

QUICK = ("dumb-venue", "history-lost", "node-past-its-proxy")
"""Enough to see that the proving works; the others are proved with everything."""


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(mutant, id=mutant.name, marks=[] if mutant.name in QUICK else pytest.mark.everything)
        for mutant in MUTANTS
    ],
)
def test_it_is_caught_and_the_good_variant_passes(mutant: Mutant, tmp_path: Path) -> None:
    proof = prove(mutant, resolve("hierarchical", **EXPERIMENT), tmp_path, lambda text: None)
    assert proof.caught, f"{mutant.name} survived {SEEDS_MAX} seeds"
    assert proof.good, f"the good variant does not pass under {mutant.fault}"
    assert not mutant.checks or proof.check in mutant.checks
    assert proof.why


def test_each_variant_of_a_service_has_a_file_of_its_name() -> None:
    folder = Path(__file__).parents[2] / "chaos" / "squall" / "chaos" / "mutants"
    unnamed = {"dumb-venue"}  # a setting of the real venue
    for mutant in SERVICES:
        assert mutant.name in unnamed or (folder / f"{mutant.name.replace('-', '_')}.py").exists()
