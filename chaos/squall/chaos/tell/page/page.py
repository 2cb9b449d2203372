"""Pages from directories: reads, beside a run's history, its spec and whether there is a schedule."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

from squall.bus.border import printable
from squall.bus.subjects import GATEWAY
from squall.bus.topology.link import Link, Node
from squall.bus.topology.model import Topology
from squall.chaos.evidence.model import History
from squall.chaos.evidence.task import gather_many
from squall.chaos.judge.series import SeriesResult
from squall.chaos.tell.page.html import PageContent, listed_of, render
from squall.chaos.tell.page.series import render_series
from squall.chaos.tell.trace import Timeline, timeline
from squall.services.errors import SpecError
from squall.services.patterns import pattern_of
from squall.services.patterns.pattern import VENUE
from squall.services.run.hints import named
from squall.services.run.result import REPORT, Result
from squall.services.run.swarm_toml import load


def page(run: Path, history: History, result: Result) -> bytes:
    """The content of ``report.html``; a spec that cannot be used costs it the topology and nothing else."""
    content = PageContent(
        history=history,
        result=result,
        topology=_topology(run),
        path=named(run),
        scheduled=(run / "schedule.toml").exists(),
        traces=_traces(run, listed_of(history)),
    )
    return render(content)


def _traces(run: Path, tasks: Collection[str]) -> dict[str, Timeline]:
    """What happened to tasks; nothing, where the history cannot be read again."""
    try:
        return {task: timeline(found) for task, found in gather_many(run, tasks).items()}
    except OSError:
        return {}


def _topology(run: Path) -> Topology | None:
    try:
        spec = load(run / "spec.toml")
    except SpecError:
        return None
    graph = pattern_of(spec).topology(spec)
    if spec.has_venue:
        return graph
    # Where the drawing would have the venue, it says who is there in its place.
    link = Link(GATEWAY, VENUE, printable(spec.effects, 60), "effects; this is not the venue but your sink")
    return replace(graph, nodes=(*graph.nodes, Node(VENUE, VENUE)), links=(*graph.links, link))


def series_page(folder: Path, series: SeriesResult, out: Path | None = None) -> bytes:
    """The content of the ``report.html`` of a series.

    Args:
        out: The file it is for, if not the one in the series' directory: the pages of the runs stay there.
    """
    start = folder if out is None else out.parent
    links = {
        run.run: quote(os.path.relpath(folder / run.run / REPORT, start))
        for run in series.runs
        if (folder / run.run / REPORT).exists()
    }
    return render_series(series, path=named(folder), links=links)
