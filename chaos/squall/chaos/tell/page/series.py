"""A series as one page: the verdict, its runs, what was promised, and what it was put to. Pure.

Each run has a page of its own in its directory, to which this one refers.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Sequence

from squall.chaos.evidence.plural import plural
from squall.chaos.judge.exercised import Exercised
from squall.chaos.judge.series import Hits, Recovered, SeriesCheck, SeriesResult, verdict_of_run
from squall.chaos.plan.cells import STRIKES
from squall.chaos.tell.exercised import facts, left_out, matrix
from squall.chaos.tell.page import words
from squall.chaos.tell.page.document import badge, checks, document, heading, of_all
from squall.chaos.tell.page.markup import Child, Markup, el
from squall.chaos.tell.page.parts import nothing, pairs, section, table
from squall.services.run.result import Result


def render_series(series: SeriesResult, *, path: str, page: str) -> bytes:
    """The file's content.

    Args:
        path: The series' directory, as a command would name it.
        page: What the page of a run is called in its directory.
    """
    patterns = list(dict.fromkeys(run.pattern or "" for run in series.runs))
    total = [
        ("patterns", ", ".join(patterns) or words.ABSENT),
        ("runs", words.count(len(series.runs))),
        ("faults", _verified([fault.verified for run in series.runs for fault in run.faults])),
        ("accepted", words.count(sum(run.accepted or 0 for run in series.runs))),
    ]
    parts: list[Child] = []
    for pattern in patterns:
        parts += _of_pattern(series, pattern, f"{pattern}: " if len(patterns) > 1 else "")
    whole = [check for check in series.checks if not check.pattern]
    return document(
        f"{series.verdict}: series {path}",
        heading(series.verdict, _why(series), total),
        el(
            "main",
            section("Runs", "Each with its own page", _runs(series.runs, page)),
            *parts,
            section("The series as a whole", None, checks(None, whole)),
            section(
                "Again",
                "The same judgment, from the directory alone",
                el("pre", el("code", f"squall check {shlex.quote(path)}"), tabindex="0"),
            ),
        ),
    )


def _why(series: SeriesResult) -> str:
    """One line: what decided."""
    if not series.runs:
        return "No run is here."
    return (
        of_all(series.checks) or f"{plural(len(series.checks), 'check')} passed over {len(series.runs)} runs."
    )


def _runs(runs: Sequence[Result], page: str) -> Markup:
    rows: list[list[Child]] = [
        [
            el("a", run.run, href=f"{run.run}/{page}"),
            badge(verdict_of_run(run)),
            _verified([fault.verified for fault in run.faults]),
            words.count(run.accepted),
            words.count(run.lost),
            words.count(run.duplicated),
            words.count(run.conflicting),
            words.seconds(run.recovery_s.failover),
            words.seconds(run.recovery_s.drain),
        ]
        for run in runs
    ]
    headers = ["run", "verdict", "faults verified", "accepted", "lost", "duplicated", "conflicting"]
    return table([*headers, "fail-over", "drain"], rows, "runs", numeric=range(2, 9))


def _verified(faults: Sequence[bool]) -> str:
    return f"{sum(faults)}/{len(faults)}" if faults else words.ABSENT


def _of_pattern(series: SeriesResult, pattern: str, before: str) -> Iterator[Markup]:
    def own(title: str, about: str | None, *children: Child) -> Markup:
        """A section, named after the pattern where there are several."""
        return section(before + (title.lower() if before else title), about, *children)

    promised = [check for check in series.checks if pattern and check.pattern == pattern]
    covered = [cell for cell in series.coverage if cell.pattern == pattern]
    yield own("Promises", "What was promised, and what happened in all runs", _checks(pattern, promised))
    for found in series.exercised:
        if found.pattern == pattern:
            about = "Faults that were seen in force, by kind and target; a dot where one could have been"
            yield own("Exercised", about, *_exercised(found, covered))
            if series.all_faults:
                yield own("Not exercised", None, _left_out(left_out(found, covered)))
    if any(cell.hits for cell in covered):
        yield own("Steps", "How often each step was struck, and how", _steps(covered))
    recovery = [step for step in series.recovery if step.pattern == pattern]
    yield own("Recovery", "The slowest of each run", _recovery(recovery))


def _checks(pattern: str, promised: Sequence[SeriesCheck]) -> Markup:
    return checks(pattern, promised) if promised else nothing("Nothing was checked.")


def _exercised(found: Exercised, covered: Sequence[Hits]) -> Iterator[Markup]:
    drawn = matrix(found, whole=True)
    rows: list[list[Child]] = [[kind, *cells] for kind, cells in drawn.rows]
    yield table(["kind", *drawn.targets], rows, "exercised", numeric=range(1, len(drawn.targets) + 1))
    yield pairs(facts(found, covered), "facts plain")
    if found.together:
        pairs_of: list[list[Child]] = [
            [" and ".join(each.kinds), each.where, words.count(each.times)] for each in found.together
        ]
        yield el(
            "details",
            el("summary", f"{plural(len(pairs_of), 'pair')} of kinds that were in force at once"),
            table(["kinds", "on", "times"], pairs_of, "together", numeric={2}),
        )


def _left_out(missing: Sequence[str]) -> Markup:
    if not missing:
        return nothing("Nothing that there is.")
    return el("ul", *(el("li", what) for what in missing))


def _steps(covered: Sequence[Hits]) -> Markup:
    rows: list[list[Child]] = []
    for point, cells in itertools.groupby(covered, lambda cell: cell.point):
        hits = {cell.strike: cell.hits for cell in cells}
        rows.append([point, *(words.count(hits[strike] or None) for strike in STRIKES)])
    return table(["struck at", *STRIKES], rows, "steps", numeric={1, 2, 3})


def _recovery(steps: Sequence[Recovered]) -> Markup:
    rows: list[list[Child]] = [
        [
            step.what,
            words.count(step.runs),
            *(words.seconds(value) for value in (step.median_s, step.slowest_s, step.bound_s)),
        ]
        for step in steps
    ]
    return table(["recovery", "runs", "median", "slowest", "bound"], rows, "recovery", numeric={1, 2, 3, 4})
