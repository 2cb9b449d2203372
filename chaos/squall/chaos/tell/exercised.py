"""What a series exercised, and what it did not: a table and sentences, for the terminal and its page. Pure.

A cell of the table is how many faults were seen in force: ``5``; ``3/5`` where two of them were not; a dot
where one could have been, and none was; nothing where that kind has no hold on that target.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from squall.chaos.evidence.plural import plural
from squall.chaos.judge.decide import some
from squall.chaos.judge.exercised import Exercised, Struck, Where
from squall.chaos.judge.series import Hits

NEVER = "·"

WHERE: Sequence[Where] = ("different nodes", "one node")


@dataclass(frozen=True, slots=True)
class Matrix:
    """Faults by kind and target, in words; a row a kind."""

    targets: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]


def matrix(found: Exercised, *, whole: bool) -> Matrix:
    """The table.

    Args:
        whole: Also kinds and targets of which there was no fault at all; `left_out` names them.
    """
    faults = {(struck.kind, struck.target): struck for struck in found.faults}
    shown = [struck for struck in found.faults if whole or struck.faults]
    there = {struck.target for struck in shown}
    targets = [target for target in dict.fromkeys(s.target for s in found.faults) if target in there]
    kinds = dict.fromkeys(struck.kind for struck in shown)
    return Matrix(
        targets, [(kind, [_cell(faults.get((kind, target))) for target in targets]) for kind in kinds]
    )


def _cell(struck: Struck | None) -> str:
    if struck is None:
        return ""
    if not struck.faults:
        return NEVER
    return str(struck.faults) if struck.verified == struck.faults else f"{struck.verified}/{struck.faults}"


def facts(found: Exercised, covered: Sequence[Hits]) -> list[tuple[str, str]]:
    """What else there was, a name and a text each.

    Args:
        covered: The pattern's coverage table.
    """
    done = [f"{work.workload} {work.tasks:,}" for work in found.workloads if work.tasks]
    pairs = [sum(pair.where == where for pair in found.together) for where in WHERE]
    at_once = [
        f"{plural(pairs[0], 'pair')} of kinds on {WHERE[0]}",
        *(f"{number:,} on {where}" for number, where in zip(pairs[1:], WHERE[1:], strict=True)),
    ]
    told = [("tasks", ", ".join(done) or "none was begun"), ("at once", ", ".join(at_once))]
    if any(cell.hits for cell in covered):  # narrowed to faults without points, all would be holes
        struck = sum(cell.hits > 0 for cell in covered)
        told.append(("steps", f"{struck} of {len(covered)} struck"))
    return told


def left_out(found: Exercised, covered: Sequence[Hits]) -> list[str]:
    """What there was to exercise, and was not, from the general to the particular."""
    return list(_left_out(found, covered))


def _left_out(found: Exercised, covered: Sequence[Hits]) -> Iterator[str]:
    seen = [struck for struck in found.faults if struck.verified]
    kinds = _without(seen_names={s.kind for s in seen}, names=[s.kind for s in found.faults])
    targets = _without(seen_names={s.target for s in seen}, names=[s.target for s in found.faults])
    if kinds:
        yield f"kinds of faults: {', '.join(kinds)}"
    if targets:
        yield f"targets: {', '.join(targets)}"
    more = sum(
        not struck.verified and struck.kind not in kinds and struck.target not in targets
        for struck in found.faults
    )
    if more:
        yield f"{plural(more, 'more pair')} of a kind and a target"
    sorts = [work.workload for work in found.workloads if not work.tasks]
    if sorts:
        yield f"tasks: {', '.join(sorts)}"
    for where in WHERE:
        if not any(pair.where == where for pair in found.together):
            yield f"two faults at once on {where}"
    holes = [f"{cell.strike} at {cell.point}" for cell in covered if not cell.hits]
    if holes:
        yield f"steps: {some(holes)}"


def _without(*, seen_names: set[str], names: Sequence[str]) -> list[str]:
    return [name for name in dict.fromkeys(names) if name not in seen_names]
