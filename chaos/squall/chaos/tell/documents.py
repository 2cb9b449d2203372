"""A run judged from its directory, and what is told of it left there.

run directory ─read─► History ─► Result ─write─► result.json, junit.xml, report.html
"""

from __future__ import annotations

import contextlib
import gc
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from squall.chaos.errors import NotARunError
from squall.chaos.evidence.files import digest_in
from squall.chaos.evidence.model import History
from squall.chaos.evidence.reader import read
from squall.chaos.evidence.series import Planned
from squall.chaos.judge.checks import operations_of
from squall.chaos.judge.run import result
from squall.chaos.judge.series import Judged, SeriesResult, judged_of
from squall.chaos.tell.page import junit
from squall.chaos.tell.page.page import page, series_page
from squall.services.launch.collected import recover
from squall.services.run.directory import replace, writing
from squall.services.run.result import REPORT, Result, document

log = logging.getLogger("squall")


def history_of(run: Path) -> History:
    """Everything a run's directory tells, its pattern's own operations too.

    Raises:
        NotARunError: The directory holds no run.
        DiskError: What its nodes wrote apart cannot be brought together.
    """
    recover(run)
    return read(run, operations_of)


def judge(run: Path, *, keep: bool = True) -> Result:
    """The result of a run.

    Args:
        run: Its directory.
        keep: Leave ``result.json``, ``junit.xml`` and ``report.html`` there.

    Raises:
        NotARunError: The directory holds no run.
        DiskError: It cannot be written.
    """
    return _judged(run, keep=keep)[0]


def judge_run(run: Path, *, keep: bool) -> Judged:
    """One run of a series; see `judge`."""
    return judged_of(*_judged(run, keep=keep), digest_in(run))


def judge_all(folder: Path, planned: Planned) -> list[Judged]:
    """The runs of a series that are in its directory, which is left as it is."""
    found = []
    for name in planned.runs:
        try:
            found.append(judge_run(folder / name, keep=False))
        except NotARunError:
            continue  # the check of completeness misses it
    return found


def write_series(folder: Path, series: SeriesResult) -> None:
    """Leave the page of a series in its directory."""
    _keep(folder / REPORT, lambda: series_page(folder, series))


def _judged(run: Path, *, keep: bool) -> tuple[Result, History]:
    with _uncollected():
        history = history_of(run)
        judged = result(history, run.absolute().name)
        if keep:
            _write(run, judged)
            _write_page(run, history, judged)
    return judged, history


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Without looking for cycles of objects, of which a history has none; to do so took half of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _write(run: Path, judged: Result) -> None:
    """Leave a result in a run's directory: each file whole, or as it was."""
    with writing(run):
        replace(run / "result.json", document(judged, indent=2) + b"\n")
        replace(run / "junit.xml", junit.render(judged))


def _write_page(run: Path, history: History, judged: Result) -> None:
    """Leave a run's page in its directory."""
    _keep(run / REPORT, lambda: page(run, history, judged))


def _keep(path: Path, content: Callable[[], bytes]) -> None:
    """Write a page; whatever is wrong with it, the verdict stands beside it."""
    try:
        replace(path, content())
    except Exception as error:
        log.warning("%s not written: %s: %s", path, type(error).__name__, error)
