"""Runs by promises: who held what, the worst run first; a cell leads to the check on its run's page. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from squall.chaos.judge.series import SeriesCheck, is_excused, verdict_of_run
from squall.chaos.tell.page.against import Timed, nearest
from squall.chaos.tell.page.document import SIGNS, TITLES, anchor_of, badge
from squall.chaos.tell.page.markup import Child, Markup, el, join
from squall.chaos.tell.page.parts import pairs, table
from squall.services.run.result import Check, Result, Verdict

RANK: Mapping[Verdict, int] = {"fail": 0, "unknown": 1, "pass": 2}

NOT_HELD = "·"
NOT_SEEN = "–"


def worst_first(runs: Sequence[Result], timed: Sequence[Timed]) -> list[Result]:
    """Runs that failed, most checks first; then the undecided; then by how near they came to a bound."""

    def badness(run: Result) -> tuple[int, int, float]:
        verdict = verdict_of_run(run)
        near = nearest(run, timed)
        decisive = 0 if verdict == "pass" else len(_decisive(run, verdict))
        return RANK[verdict], -decisive, -(near.share or 0.0) if near is not None else 0.0

    return sorted(runs, key=badness)


def _decisive(run: Result, verdict: Verdict) -> list[Check]:
    """The checks of a run that made its verdict."""
    return [c for c in run.checks if c.verdict == verdict and not is_excused(run.pattern, c)]


def worst(run: Result, timed: Sequence[Timed], *, runs: int) -> tuple[str, str]:
    """What is worst about the worst run: what stands before its name, and after it; nothing if nothing is.

    Args:
        runs: How many there are.
    """
    verdict = verdict_of_run(run)
    if verdict != "pass":
        made = _decisive(run, verdict)
        why = (
            f". {made[0].id} {made[0].name}: {made[0].detail}" if made else ", in which nothing was checked."
        )
        return ("Worst run: " if runs > 1 else "The run: "), why
    near = nearest(run, timed)
    if near is None:
        return "", ""
    lead = "Of all runs nearest to a bound: " if runs > 1 else "Nearest to a bound: "
    return lead, f", whose {near.what} took {near.of_bound}."


def grid(runs: Sequence[Result], promised: Sequence[SeriesCheck], links: Mapping[str, str]) -> Markup:
    """The matrix of one pattern.

    Args:
        runs: In the order of their rows.
        promised: The checks over all of them; those that are of single runs have a column.
        links: Where each run's page is; one without is not there.
    """
    there = {check.id for run in runs for check in run.checks}
    columns = [check for check in promised if check.id in there]
    headers: list[Child] = [
        "run",
        "verdict",
        *(el("a", check.id, href=f"#{anchor_of(check)}", title=check.name) for check in columns),
    ]
    rows: list[list[Child]] = [
        [
            linked(run.run, links.get(run.run)),
            badge(verdict_of_run(run)),
            *(_cell(run, check.id, links.get(run.run)) for check in columns),
        ]
        for run in runs
    ]
    legend = [
        (SIGNS["pass"], "held"),
        (SIGNS["fail"], "did not hold"),
        (SIGNS["unknown"], "could not be decided"),
        (NOT_SEEN, "did not come about there, and need not in each run"),
        (NOT_HELD, "that run is not held to it"),
    ]
    return join(table(headers, rows, "grid"), pairs(legend, "signs"))


def linked(name: str, page: str | None) -> Child:
    """A run's name, leading to its page if it has one."""
    return name if page is None else el("a", name, href=page)


def _cell(run: Result, promise: str, page: str | None) -> Markup:
    check = next((check for check in run.checks if check.id == promise), None)
    if check is None:
        return el("span", NOT_HELD, class_="cell none", title=f"{run.run} is not held to {promise}")
    quiet = is_excused(run.pattern, check)
    sign = NOT_SEEN if quiet else SIGNS[check.verdict]
    kind = f"cell {'none' if quiet else check.verdict}"
    about = f"{run.run}, {check.id} {check.name}: {_word(check, quiet=quiet)}. {check.detail}"
    if page is None:
        return el("span", sign, class_=kind, title=about)
    return el("a", sign, class_=kind, title=about, href=f"{page}#{anchor_of(check)}")


def _word(check: Check, *, quiet: bool) -> str:
    return "not shown here" if quiet else TITLES[check.verdict].lower()
