"""Tells what came of a session: by family and by stage, and every mutant that lived."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import WorkItem, WorkResult

from squall_mutation.drawn import FAMILIES, family_of
from squall_mutation.tried import STAGES

Tried = tuple[WorkItem, WorkResult]


def stages_of(result: WorkResult) -> dict[str, str]:
    """What killed it, by stage."""
    lines = (line.partition(": ") for line in (result.output or "").splitlines())
    return {stage: said for stage, _, said in lines if said and said != "-"}


def table(done: Iterable[Tried]) -> list[str]:
    """One line a family."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in (*FAMILIES, "all")}
    for item, result in done:
        killed = stages_of(result)
        for name in (family_of(item.mutations[0].operator_name), "all"):
            counts[name].update(["made", *killed, *(["killed"] if result.is_killed else [])])
    columns = ("made", *STAGES, "killed")
    head = f"| family | {' | '.join(columns)} |"
    rows = [f"| {name} | {' | '.join(str(count[c]) for c in columns)} |" for name, count in counts.items()]
    return [head, "|---" * (len(columns) + 1) + "|", *rows]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("session", type=Path)
    parser.add_argument("--killed", action="store_true", help="what killed each of the others, too")
    asked = parser.parse_args()
    with use_db(asked.session, WorkDB.Mode.open) as session:
        done = sorted(session.completed_work_items, key=lambda each: _where(each[0]))
        waiting = session.num_work_items - len(done)
    print("\n".join(table(done)))
    if waiting:
        print(f"{waiting} have not been tried")
    for item, result in done:
        if not result.is_killed:
            print(f"\n{_where(item)}\n{_changed(result.diff or '')}")
        elif asked.killed:
            print(f"\n{_where(item)} {stages_of(result) or result.output}\n{_changed(result.diff or '')}")


def _where(item: WorkItem) -> str:
    (mutation,) = item.mutations
    return f"{mutation.module_path}:{mutation.start_pos[0]} {mutation.operator_name}"


def _changed(diff: str) -> str:
    return "\n".join(
        line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")
    )
