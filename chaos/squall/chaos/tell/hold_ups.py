"""When the agents that had a task were held up by its handler, as their own lines tell. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator

from squall.bus.border import printable
from squall.chaos.evidence.plural import plural
from squall.chaos.evidence.task import Evidence, Line
from squall.chaos.tell.executions import ends_of


def hold_ups(evidence: Evidence) -> Iterator[tuple[float, str, str]]:
    """Each time that the loop of whoever had the task was held up during an attempt: when, who, and how.

    One that lasts is told of before it is over, and again when it is. The lines of older directories do not
    tell when each began.
    """
    ends = ends_of(evidence.own)
    for who in dict.fromkeys((run.node, run.inc) for run, _ in ends):
        attempts = [
            (run.time_s, math.inf if end is None else end.time_s)
            for run, end in ends
            if (run.node, run.inc) == who
        ]
        for since_s, line in _spans(evidence, who):
            if not any(since_s <= end_s and line.time_s >= begun_s for begun_s, end_s in attempts):
                continue
            at = printable(line.line or line.at)
            if line.took_s is None:
                often = f"{plural(line.times, 'time')} by then, for {line.seconds:.2f} s at most"
                yield line.time_s, line.node, f"by its handler {often}, at {at}"
            else:
                yield since_s, line.node, f"by its handler for {line.time_s - since_s:.2f} s, at {at}"


def _spans(evidence: Evidence, who: tuple[str, int]) -> list[tuple[float, Line]]:
    """When each hold-up of a start of an agent began, and the last line that tells of it."""
    spans: list[tuple[float, Line]] = []
    for line in evidence.swarm:
        if line.op == "held-up" and (line.node, line.inc) == who:
            since_s = line.time_s - (line.seconds if line.took_s is None else line.took_s)
            if spans and line.took_s is not None and since_s < spans[-1][1].time_s:
                spans[-1] = min(since_s, spans[-1][0]), line
            else:
                spans.append((since_s, line))
    return spans
