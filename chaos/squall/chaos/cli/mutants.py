"""``squall chaos --mutants``: which known-bad variants were caught, by which check, in how many seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from squall.chaos.cli.setup import spec_of
from squall.chaos.mutants.catalogues import catalogue_of
from squall.chaos.mutants.harness import HARNESS
from squall.chaos.mutants.prove import Proof, prove
from squall.services.cli.terminal import Terminal, show_progress
from squall.services.printing import print_document

SEEDS_MEDIAN_MAX = 3


def prove_all(patterns: Sequence[str], folder: Path, *, as_json: bool) -> int:
    """Prove every mutant of some patterns and tell; 0 if all were caught and the good passed, else 1.

    Raises:
        FaultError: There are no mutants of a pattern.
        SpecError: There is no such pattern, or a package that brings it is broken.
    """
    specs = [spec_of(pattern) for pattern in patterns]
    staged = [(mutant, spec) for spec in specs for mutant in catalogue_of(spec.pattern).mutants]
    staged += [(mutant, specs[0]) for mutant in HARNESS]
    console = Terminal(stderr=as_json)
    proofs: list[Proof] = []
    with show_progress() as progress:
        for mutant, spec in staged:
            proof = prove(mutant, spec, folder, progress)
            proofs.append(proof)
            _print_proof(proof, console)
    verdict = "pass" if is_proved(proofs) else "fail"
    if as_json:
        document = {"mutants": [_row(proof) for proof in proofs], "verdict": verdict}
        print_document(document)
    else:
        _print_all(proofs, console)
        caught = sum(proof.caught for proof in proofs)
        console.print(f"{caught} of {len(proofs)} caught", f"verdict  {verdict}", sep="\n")
        console.print(f"runs  {folder}", soft_wrap=True)
    return 0 if verdict == "pass" else 1


def is_proved(proofs: Sequence[Proof]) -> bool:
    """Whether all were caught, in few seeds, and the good variants passed."""
    if not proofs or not all(proof.caught and proof.good for proof in proofs):
        return False
    return statistics.median(proof.seeds for proof in proofs) <= SEEDS_MEDIAN_MAX


def _row(proof: Proof) -> dict[str, object]:
    return {
        "name": proof.mutant.name,
        "pattern": proof.pattern,
        "what": proof.mutant.what,
        "fault": proof.mutant.fault,
        "caught": proof.caught,
        "check": proof.check,
        "why": proof.why,
        "seeds": proof.seeds,
        "good_variant_passes": proof.good,
    }


def _print_proof(proof: Proof, console: Terminal) -> None:
    caught = f"caught by {proof.check}: {proof.why}" if proof.caught else "SURVIVED"
    good = "" if proof.good else "; and the good variant does not pass"
    console.print(
        f"{proof.mutant.name:22}  {proof.mutant.what}",
        f"{'':22}  {caught}{good}",
        sep="\n",
        soft_wrap=True,
    )


def _print_all(proofs: Sequence[Proof], console: Terminal) -> None:
    table = Table("mutant", "pattern", "fault", "caught by", "seeds", box=None, pad_edge=False)
    for proof in proofs:
        caught = proof.check or "none"
        table.add_row(proof.mutant.name, proof.pattern, proof.mutant.fault, caught, str(proof.seeds))
    console.print("", table, "", sep="\n")
