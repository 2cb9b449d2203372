"""A series as one page: the verdict, its runs, what was promised, and what it was put to. Pure.

Each run has a page of its own in its directory, to which this one refers.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator, Mapping, Sequence

from squall.chaos.evidence.plural import plural
from squall.chaos.judge.decide import some
from squall.chaos.judge.exercised import Exercised
from squall.chaos.judge.series import Hits, Recovered, SeriesCheck, SeriesResult, verdict_of_run
from squall.chaos.plan.cells import STRIKES
from squall.chaos.tell.exercised import NEVER, facts, left_out, matrix
from squall.chaos.tell.page import words
from squall.chaos.tell.page.against import Timed, against, timed_in
from squall.chaos.tell.page.document import badge, checks, document, heading
from squall.chaos.tell.page.glossary import glossary
from squall.chaos.tell.page.grid import grid, linked, worst, worst_first
from squall.chaos.tell.page.markup import Child, Markup, el
from squall.chaos.tell.page.notices import box, refusals
from squall.chaos.tell.page.parts import nothing, pairs, section, table
from squall.chaos.tell.summary import in_words
from squall.services.run.result import Result


def render_series(series: SeriesResult, *, path: str, links: Mapping[str, str]) -> bytes:
    """The file's content.

    Args:
        path: The series' directory, as a command would name it.
        links: Where the page of each run is, as a reference from this one; a run without has no page.
    """
    patterns = list(dict.fromkeys(run.pattern or "" for run in series.runs))
    offered, accepted = (
        sum(getattr(run, name) or 0 for run in series.runs) for name in ("offered", "accepted")
    )
    total = [
        ("patterns", ", ".join(patterns) or words.ABSENT),
        ("runs", words.count(len(series.runs))),
        ("faults", _verified([fault.verified for run in series.runs for fault in run.faults])),
        ("offered", words.count(offered)),
        ("accepted", words.count(accepted)),
    ]
    parts: list[Child] = []
    for pattern in patterns:
        parts += _of_pattern(series, pattern, links, f"{pattern}: " if len(patterns) > 1 else "")
    whole = [check for check in series.checks if not check.pattern]
    timed = timed_in(series)
    ordered = worst_first(series.runs, timed)
    refused = sum(run.refused or 0 for run in series.runs)
    first = (refusals(refused, offered), _missing(series), _worst(ordered, timed, links))
    return document(
        f"{series.verdict}: series {path}",
        heading(series.verdict, in_words(series), total, *first),
        el(
            "main",
            *parts,
            section("Runs", "The worst first, each with its own page", _runs(ordered, links), anchor="runs"),
            section("The series as a whole", None, checks(None, whole)),
            glossary(),
            section(
                "Again",
                "The same judgment, from the directory alone",
                el("pre", el("code", f"squall check {shlex.quote(path)}"), tabindex="0"),
            ),
        ),
    )


def _missing(series: SeriesResult) -> Markup | None:
    """That runs are missing, or did not come to their end; the verdict is without them."""
    said = []
    if series.missing:
        planned = len(series.missing) + len(series.runs)
        said.append(
            f"{len(series.missing)} of {plural(planned, 'planned run')} are not here, so the series was "
            f"interrupted, or is not over: {some(series.missing)}"
        )
    if series.unended:
        said.append(
            f"{plural(len(series.unended), 'run')} did not come to where all was healed: "
            f"{some(series.unended)}"
        )
    return box("Read this first", said, more="the table of runs has them all") if said else None


def _worst(ordered: Sequence[Result], timed: Sequence[Timed], links: Mapping[str, str]) -> Markup | None:
    if not ordered:
        return None
    run = ordered[0]
    lead, why = worst(run, timed, runs=len(ordered))
    return el("p", lead, linked(run.run, links.get(run.run)), why, class_="worst") if lead else None


def _runs(runs: Sequence[Result], links: Mapping[str, str]) -> Markup:
    rows: list[list[Child]] = [
        [
            linked(run.run, links.get(run.run)),
            badge(verdict_of_run(run)),
            _verified([fault.verified for fault in run.faults]),
            words.count(run.offered),
            words.count(run.accepted),
            words.count(run.dead_letters),
            words.count(run.lost),
            words.count(run.duplicated),
            words.count(run.conflicting),
            words.milliseconds(run.latency_ms.p99),
            words.seconds(run.recovery_s.failover),
            words.seconds(run.recovery_s.drain),
        ]
        for run in runs
    ]
    headers = ["run", "verdict", "faults", "offered", "accepted", "dead", "lost", "duplicated", "conflicting"]
    return table([*headers, "p99", "fail-over", "drain"], rows, "runs", numeric=range(2, 12))


def _verified(faults: Sequence[bool]) -> str:
    return f"{sum(faults)}/{len(faults)}" if faults else words.ABSENT


def _of_pattern(
    series: SeriesResult, pattern: str, links: Mapping[str, str], before: str
) -> Iterator[Markup]:
    def own(title: str, about: str | None, *children: Child) -> Markup:
        """A section, named after the pattern where there are several."""
        return section(before + (title.lower() if before else title), about, *children)

    promised = [check for check in series.checks if pattern and check.pattern == pattern]
    covered = [cell for cell in series.coverage if cell.pattern == pattern]
    timed = timed_in(series)
    runs = worst_first([run for run in series.runs if (run.pattern or "") == pattern], timed)
    if promised:
        about = "Runs by promises, the worst run first; a sign leads to the run, a promise to its sentence"
        yield own("Matrix", about, grid(runs, promised, links))
    yield own("Promises", "What was promised, and what happened in all runs", _checks(pattern, promised))
    for found in series.exercised:
        if found.pattern == pattern:
            about = "Faults that were seen in force, by kind and target; a dot where one could have been"
            yield own("Exercised", about, *_exercised(found, covered))
            if series.all_faults:
                yield own("Not exercised", None, _left_out(left_out(found, covered)))
    if any(cell.hits for cell in covered):
        struck = sum(cell.hits > 0 for cell in covered)
        about = f"How often each step was struck, and how; {struck} of {len(covered)} were, a dot is a hole"
        yield own("Steps", about, _steps(covered))
    recovery = [step for step in series.recovery if step.pattern == pattern]
    about = "The slowest of each run, a dot a run, against what it might have taken by its timers"
    of_these = {run.run for run in runs}
    drawn = against([each for each in timed if each.run in of_these])
    yield own("Recovery", about, drawn, _recovery(recovery))


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
        rows.append([point, *(_hit(hits[strike]) for strike in STRIKES)])
    return table(["struck at", *STRIKES], rows, "steps", numeric={1, 2, 3})


def _hit(times: int) -> Child:
    return words.count(times) if times else el("span", NEVER, class_="hole", title="never struck so")


def _recovery(steps: Sequence[Recovered]) -> Markup:
    rows: list[list[Child]] = [
        [
            step.said,
            words.count(step.runs),
            *(words.seconds(value) for value in (step.median_s, step.slowest_s, step.bound_s)),
        ]
        for step in steps
    ]
    return table(
        ["recovery", "runs", "median", "slowest", "widest bound"], rows, "recovery", numeric={1, 2, 3, 4}
    )
