"""Gathers what a run's directory tells of one task: a pass over its history, however long that is."""

from __future__ import annotations

import difflib
from pathlib import Path

import msgspec

from squall.chaos.errors import NotARunError
from squall.chaos.evidence.reader import HISTORY, REMEDY, require_run, surroundings
from squall.chaos.tell.trace import Evidence, Line
from squall.services import jsonl
from squall.services.handlers import effect_id

RUNS = Path("runs")
"""Where runs go that are not told where to."""

NEAREST = 3
"""How many ids are offered in place of one that nobody knows."""


def newest_run(runs: Path = RUNS) -> Path:
    """The run in ``runs``, or in a series there, that was changed last.

    Raises:
        NotARunError: There is none.
    """
    folders = [path.parent for depth in ("*", "*/*") for path in runs.glob(f"{depth}/{HISTORY}")]
    if not folders:
        raise NotARunError(f"there is no run in {runs}/", "name the directory of one with --run")
    return max(folders, key=lambda path: path.stat().st_mtime)


def gather(run: Path, name: str) -> Evidence | None:
    """What a run tells of a task; None if it knows none of that name.

    Reads the history once, and a second time where an order is named, whose register tells its task.

    Args:
        name: A task, or the id of an order of one.

    Raises:
        NotARunError: The directory holds no history.
    """
    require_run(run)
    if not (run / HISTORY).exists():
        raise NotARunError(f"{run} holds no {HISTORY}", REMEDY)
    if not name:
        return None
    lines, unreadable = _lines(run, name)
    task = name
    if not any(line.task == name for line in lines):
        task = next((line.task for line in lines if name in line.effects), "") or _owner(run, name)
        if not task:
            return None
        lines, unreadable = _lines(run, task)
    registered = {order_id for line in lines if line.task == task for order_id in line.effects}
    around = surroundings(run, task, lambda order_id: order_id in registered or _is_order_of(task, order_id))
    return Evidence(
        run=run.absolute().name,
        task=task,
        own=[line for line in lines if line.task == task],
        swarm=[line for line in lines if not line.task],
        around=around,
        unreadable=[*unreadable, *around.unreadable],
    )


def nearest(run: Path, name: str) -> list[str]:
    """The tasks of a run whose names are most like one."""
    tasks = set()
    with (run / HISTORY).open("rb") as file:
        for raw in jsonl.lines(file):
            if raw is None:
                continue
            if b'"op":"submit"' in raw or b'"what":"register"' in raw:
                line = _decoded(raw)
                if line is not None and line.task:
                    tasks.add(line.task)
    return difflib.get_close_matches(name, sorted(tasks), NEAREST)


_OF_THE_SWARM = (
    b'"op":"lead"', b'"op":"resign"', b'"op":"fenced"', b'"op":"dispatch"', b'"what":"complete"',
)  # fmt: skip
"""Marks of the lines that are kept whatever task is asked for."""

_decoder = msgspec.json.Decoder(Line)


def _lines(run: Path, name: str) -> tuple[list[Line], list[str]]:
    """The lines that name a task or an order, and those about terms; and what could not be read of them."""
    marks = (msgspec.json.encode(name), *_OF_THE_SWARM)
    kept, malformed = [], 0
    with (run / HISTORY).open("rb") as file:
        for raw in jsonl.lines(file):
            if raw is None:
                malformed += 1
                continue
            if not any(mark in raw for mark in marks):
                continue
            line = _decoded(raw)
            if line is None:
                malformed += raw.endswith(b"\n")  # half a line is what a killed writer leaves
            elif not line.task or line.task == name or name in line.effects:
                kept.append(line)
    kept.sort(key=lambda line: line.time_s)
    return kept, [f"{malformed} malformed lines of {HISTORY}"] if malformed else []


def _decoded(raw: bytes) -> Line | None:
    try:
        return jsonl.decode(_decoder, raw)
    except msgspec.DecodeError:
        return None


def _owner(run: Path, order_id: str) -> str:
    """The task of an order that no register intends, if the venue has heard of it; else nothing."""
    task = order_id.rpartition("-")[0]
    if not task or not _is_order_of(task, order_id):
        return ""
    around = surroundings(run, task, lambda other: other == order_id)
    return task if around.orders.received or around.orders.filled else ""


def _is_order_of(task: str, order_id: str) -> bool:
    index = order_id.removeprefix(f"{task}-")
    return index.isdecimal() and order_id == effect_id(task, int(index))
