"""A series in words, from its document alone: what came of what was offered, and what struck. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from squall.chaos.evidence.plural import plural
from squall.chaos.judge.series import SeriesResult
from squall.services.run.result import Result
from squall.services.run.summary import accounts, balance, failed, is_open, struck, undecided, wrong

RUNS_MAX = 3


def in_words(series: SeriesResult) -> str:
    """What came of a series, in a few sentences."""
    runs = series.runs
    if not runs:
        return "No run of the series is here."
    told, checks = accounts(runs), series.checks
    said = [
        f"{plural(len(runs), 'run')}.",
        *_wrong(runs),
        *failed(checks),
        *balance(told, is_certain=not any(map(is_open, checks))),
        *_struck(runs),
        *undecided(checks),
    ]
    return " ".join(said)


def _wrong(runs: tuple[Result, ...]) -> Iterator[str]:
    """What was lost or doubled, of the runs of which that is known, and in which it was."""
    known = [run for run in runs if None not in (run.lost, run.duplicated, run.conflicting)]
    yield from wrong(accounts(known))
    bad = [run.run for run in known if run.lost or run.duplicated or run.conflicting]
    if bad:
        more = f" and {plural(len(bad) - RUNS_MAX, 'other')}" if len(bad) > RUNS_MAX else ""
        yield f"That was in {', '.join(bad[:RUNS_MAX])}{more}."


def _struck(runs: tuple[Result, ...]) -> Iterator[str]:
    """What struck them, and how soon a lost leader was followed."""
    faults = [fault for run in runs for fault in run.faults]
    if faults:
        yield struck([fault.verified for fault in faults], len({fault.kind for fault in faults}))
    followed = [run.recovery_s.detect for run in runs if run.recovery_s.detect is not None]
    if followed:
        yield f"A lost leader was followed within {max(followed):.1f} s."
