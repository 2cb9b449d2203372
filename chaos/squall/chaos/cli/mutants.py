"""``squall chaos --mutants``: which known-bad variants were caught, by which check, in how many seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from squall.chaos.cli.setup import runs_of, spec_of
from squall.chaos.mutants.catalogues import catalogue_of
from squall.chaos.mutants.harness import HARNESS
from squall.chaos.mutants.ordinary import Ordinary, ordinary
from squall.chaos.mutants.prove import Proof, prove
from squall.services.cli.progress import show_progress
from squall.services.cli.terminal import Terminal
from squall.services.printing import print_document

SEEDS_MEDIAN_MAX = 3

Proved = tuple[Proof, Ordinary | None]
"""What came of a mutant under the fault that shows it, and in the ordinary series, if that was asked for."""


def prove_all(
    patterns: Sequence[str], folder: Path, *, ordinary_seeds: int, as_json: bool, quiet: bool = False
) -> int:
    """Prove every mutant of some patterns and tell; 0 if all were caught and the good passed, else 1.

    Args:
        ordinary_seeds: Of how many seeds the series is that each mutant is put to as well; 0 for none.

    Raises:
        FaultError: There are no mutants of a pattern.
        SpecError: There is no such pattern, or a package that brings it is broken.
    """
    specs = [spec_of(pattern) for pattern in patterns]
    staged = [(mutant, spec) for spec in specs for mutant in catalogue_of(spec.pattern).mutants]
    staged += [(mutant, specs[0]) for mutant in HARNESS]
    console = Terminal(stderr=as_json)
    proved: list[Proved] = []
    with show_progress(quiet=quiet) as shown:
        for mutant, spec in staged:
            proof = prove(mutant, spec, folder, shown.tell)
            seen = None
            if ordinary_seeds:
                series = runs_of([spec], range(1, ordinary_seeds + 1), [])
                seen = ordinary(mutant, series, folder, shown.tell)
            proved.append((proof, seen))
            with shown.aside():
                _print_proof(proof, seen, console)
    proofs = [proof for proof, _ in proved]
    verdict = "pass" if is_proved(proofs) else "fail"
    if as_json:
        document = {"mutants": [_row(*each) for each in proved], "verdict": verdict}
        print_document(document)
    else:
        _print_all(proved, console)
        caught = sum(proof.caught for proof in proofs)
        console.print(f"{caught} of {len(proofs)} caught", f"verdict  {verdict}", sep="\n")
        console.print(f"runs  {folder}", soft_wrap=True)
    return 0 if verdict == "pass" else 1


def is_proved(proofs: Sequence[Proof]) -> bool:
    """Whether all were caught, in few seeds, and the good variants passed."""
    if not proofs or not all(proof.caught and proof.good for proof in proofs):
        return False
    return statistics.median(proof.seeds for proof in proofs) <= SEEDS_MEDIAN_MAX


def _row(proof: Proof, seen: Ordinary | None) -> dict[str, object]:
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
        "ordinary": None if seen is None else _ordinary_row(seen),
    }


def _ordinary_row(seen: Ordinary) -> dict[str, object]:
    """Of the series: how many seeds it had, how many of them caught the mutant, and each run that did."""
    return {"seeds": seen.seeds, "seeds_that_catch": seen.seeds_that_catch, "caught": seen.caught}


def _print_proof(proof: Proof, seen: Ordinary | None, console: Terminal) -> None:
    caught = f"caught by {proof.check}: {proof.why}" if proof.caught else "SURVIVED"
    good = "" if proof.good else "; and the good variant does not pass"
    ordinary_too = []
    if seen is not None:
        checks = f" ({', '.join(sorted(set(seen.caught.values())))})" if seen.caught else ""
        ordinary_too = [f"{'':22}  caught by the ordinary series: {seen}{checks}"]
    console.print(
        f"{proof.mutant.name:22}  {proof.mutant.what}",
        f"{'':22}  {caught}{good}",
        *ordinary_too,
        sep="\n",
        soft_wrap=True,
    )


def _print_all(proved: Sequence[Proved], console: Terminal) -> None:
    table = Table("mutant", "pattern", "fault", "caught by", "seeds", box=None, pad_edge=False)
    is_ordinary = any(seen is not None for _, seen in proved)
    if is_ordinary:
        table.add_column("ordinary")
    for proof, seen in proved:
        caught = proof.check or "none"
        row = [proof.mutant.name, proof.pattern, proof.mutant.fault, caught, str(proof.seeds)]
        table.add_row(*row, *([str(seen)] if is_ordinary else []))
    console.print("", table, "", sep="\n")
