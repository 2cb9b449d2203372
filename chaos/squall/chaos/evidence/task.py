"""Gathers what a run's directory tells of one task: a pass over its history, however long that is."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from squall.chaos.errors import NotARunError
from squall.chaos.evidence import venue as venue_books
from squall.chaos.evidence.facts import Injected, Kind, NodeStart
from squall.chaos.evidence.files import NODES, REMEDY, VENUE, Files, require_run
from squall.chaos.evidence.said import Said
from squall.chaos.evidence.series import HISTORY
from squall.chaos.evidence.venue import Orders
from squall.services import jsonl
from squall.services.handlers import effect_id

KNOWN = frozenset(
    {
        "submit",
        "run",
        "attempt",
        "absent",
        "commit",
        "refuse",
        "handler",
        "empty",
        "held-up",
        "final",
        "lead",
        "resign",
        "fenced",
        "broker",
    }
)
"""The operations whose lines are told in words; those of others are told as they stand."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the history, as far as a timeline needs it; see `squall.chaos.evidence.reader`.

    Attributes:
        facts: All that a line of an operation which is not `KNOWN` says beside its head.
    """

    time_s: float
    node: str
    inc: int
    op: str
    type: Kind
    what: str = ""
    task: str = ""
    job: str = ""
    submit_s: float | None = None
    seq: int = 0
    refusals: int = 0
    attempt: int = 0
    status: str = ""
    reason: str = ""
    term: int = 0
    tasks: int = 0
    first: int = 0
    effects: tuple[str, ...] = ()
    order_id: str = ""
    said: str = ""
    at: str = ""
    trace: tuple[str, ...] = ()
    agent: str = ""
    stored_s: float = msgspec.field(name="time_s_stored", default=0.0)
    at_s: float = 0.0
    took_s: float | None = None
    line: str = ""
    times: int = 0
    seconds: float = 0.0
    facts: dict[str, Any] = {}

    @property
    def is_batch(self) -> bool:
        """Whether it tells what a leader stored at once, whatever its pattern calls that."""
        return not self.task and self.first > 0 and self.term > 0

    @property
    def is_record(self) -> bool:
        """Whether it tells of a record of the task in a log of its pattern, read back in the end."""
        return self.op == "final" and self.what not in ("register", "dead-letter") and self.stored_s > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a run's directory tells of one task.

    Attributes:
        own: Lines of the task itself.
        swarm: Lines about terms and batches, of whatever task, and the closing line; how handlers held up
            their agents.
        around: The run's nodes and faults, and the venue's rows for the task.
        witness: What the handlers that were called with it wrote of that; None where no handler of the run
            writes anything.
        unreadable: What could not be read, in words.
    """

    run: str
    task: str
    own: Sequence[Line]
    swarm: Sequence[Line]
    around: Surroundings
    witness: Sequence[Said] | None = None
    unreadable: Sequence[str] = ()

    @property
    def closed_s(self) -> float | None:
        """When the run was read back to its end; None if it was not."""
        return next((line.time_s for line in self.swarm if line.what == "complete"), None)

    @property
    def due_s(self) -> float | None:
        """When the task was first meant to be submitted."""
        return next((line.submit_s for line in self.own if line.submit_s is not None), None)

    @property
    def registers(self) -> list[Line]:
        return [line for line in self.own if line.what == "register" and line.type == "ok"]

    @property
    def refusals(self) -> dict[str, str]:
        """Why orders of the task were refused: by the venue's books, or else by the gateway's word.

        That the venue rejected an order is believed of its books alone, as `squall.chaos.judge.tally` does.
        """
        told = {
            line.order_id: line.reason
            for line in self.own
            if line.op == "refuse" and line.what in ("unsendable", "declined", "unapproved")
        }
        return told | dict(self.around.orders.refused)

    @property
    def fills(self) -> dict[str, list[float]]:
        """When each order of the task was filled."""
        found: dict[str, list[float]] = {}
        for order_id, time_s in self.around.orders.filled:
            found.setdefault(order_id, []).append(time_s)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a run's directory tells beside its history.

    Attributes:
        orders: What the venue wrote down of the task's orders.
        has_venue: Whether its database could be read.
        unreadable: What could not be read, each with its reason in words.
    """

    nodes: tuple[NodeStart, ...] = ()
    faults: tuple[Injected, ...] = ()
    orders: Orders = field(default_factory=Orders)
    has_venue: bool = False
    unreadable: tuple[str, ...] = ()


def surroundings(run: Path, prefix: str, wanted: Callable[[str], bool]) -> Surroundings:
    """Nodes, faults, and the venue's rows of the orders that are wanted and whose ids begin with a prefix."""
    files = Files(run)
    nodes = tuple(files.records(NODES, NodeStart))
    faults = files.faults()
    orders = Orders()
    has_venue = (run / VENUE).exists()
    if has_venue:
        try:
            orders = venue_books.orders(run / VENUE, prefix, wanted)
        except venue_books.UnreadableError as error:
            files.give_up(str(error))
            has_venue = False
    return Surroundings(
        nodes=nodes,
        faults=faults,
        orders=orders,
        has_venue=has_venue,
        unreadable=files.unreadable,
    )


RUNS = Path("runs")
"""Where runs go that are not told where to."""

NEAREST = 3
"""How many ids are offered in place of one that nobody knows."""


def newest_run(runs: Path = RUNS) -> Path:
    """The run in ``runs``, or in a series there, that wrote its history last; reports on it do not count.

    Raises:
        NotARunError: There is none.
    """
    folders = [path.parent for depth in ("*", "*/*") for path in runs.glob(f"{depth}/{HISTORY}")]
    if not folders:
        raise NotARunError(f"there is no run in {runs}/", "name the directory of one with --run")
    return max(folders, key=lambda path: (path / HISTORY).stat().st_mtime)


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
        witness=_witness(run, task),
        unreadable=[*unreadable, *around.unreadable],
    )


def gather_many(run: Path, tasks: Collection[str]) -> dict[str, Evidence]:
    """What a run tells of several tasks, by task, from one pass over its history.

    Raises:
        NotARunError: The directory holds no run.
    """
    require_run(run)
    if not tasks or not (run / HISTORY).exists():
        return {}
    names = {msgspec.json.encode(task) for task in tasks}

    def may_matter(raw: bytes) -> bool:
        named = any(found[1] in names for found in _TASK.finditer(raw))
        return named or any(mark in raw for mark in _OF_THE_SWARM)

    lines, unreadable = _kept(run, may_matter, lambda line: not line.task or line.task in tasks)
    own: dict[str, list[Line]] = {task: [] for task in tasks}
    for line in lines:
        if line.task:
            own[line.task].append(line)
    swarm = [line for line in lines if not line.task]
    owners = {order_id: line.task for line in lines for order_id in line.effects}

    def owner(order_id: str) -> str:
        task = owners.get(order_id) or order_id.rpartition("-")[0]
        return task if task in own and (order_id in owners or _is_order_of(task, order_id)) else ""

    around = surroundings(run, "", lambda order_id: bool(owner(order_id)))
    written = _witnesses(run, tasks)
    return {
        task: Evidence(
            run=run.absolute().name,
            task=task,
            own=own[task],
            swarm=swarm,
            around=replace(around, orders=_orders_of(task, around.orders, owner)),
            witness=None if written is None else written[task],
            unreadable=[*unreadable, *around.unreadable],
        )
        for task in tasks
    }


def _orders_of(task: str, orders: Orders, owner: Callable[[str], str]) -> Orders:
    return Orders(
        received=tuple(request for request in orders.received if owner(request.order_id) == task),
        filled=tuple(row for row in orders.filled if owner(row[0]) == task),
        refused=tuple(row for row in orders.refused if owner(row[0]) == task),
    )


def _witness(run: Path, task: str) -> Sequence[Said] | None:
    written = _witnesses(run, [task])
    return None if written is None else written[task]


def _witnesses(run: Path, tasks: Collection[str]) -> dict[str, list[Said]] | None:
    """By task, what the handlers that were called with it wrote; None where none writes anything."""
    files = Files(run)
    asked, _ = files.asked()
    own: dict[str, list[Said]] = {task: [] for task in tasks}
    is_written = False
    for said in files.said(asked.handler):
        is_written = True
        if said.task in own:
            own[said.task].append(said)
    return own if is_written else None


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
    b'"op":"lead"',
    b'"op":"resign"',
    b'"op":"fenced"',
    b'"op":"broker"',
    b'"op":"held-up"',
    b'"first":',
    b'"what":"complete"',
)
"""Marks of the lines that are kept whatever task is asked for; batches are known by their first sequence."""

_TASK = re.compile(rb'"task":("(?:[^"\\]|\\.)*")')
"""The name of a task as a node writes it."""

_HEAD = frozenset({"time_s", "node", "inc", "i", "op", "type"})

_decoder = msgspec.json.Decoder(Line)
_facts = msgspec.json.Decoder(dict[str, Any])


def _lines(run: Path, name: str) -> tuple[list[Line], list[str]]:
    """The lines that name a task or an order, and those about terms; and what could not be read of them."""
    marks = (msgspec.json.encode(name), *_OF_THE_SWARM)
    return _kept(
        run,
        lambda raw: any(mark in raw for mark in marks),
        lambda line: not line.task or line.task == name or name in line.effects,
    )


def _kept(
    run: Path, may_matter: Callable[[bytes], bool], matters: Callable[[Line], bool]
) -> tuple[list[Line], list[str]]:
    """In order of time, the lines that matter, of those that may by their bytes; and what is unreadable."""
    kept, malformed = [], 0
    with (run / HISTORY).open("rb") as file:
        for raw in jsonl.lines(file):
            if raw is None:
                malformed += 1
                continue
            if not may_matter(raw):
                continue
            line = _decoded(raw)
            if line is None:
                malformed += raw.endswith(b"\n")  # half a line is what a killed writer leaves
            elif matters(line):
                kept.append(line)
    kept.sort(key=lambda line: line.time_s)
    return kept, [f"{malformed} malformed lines of {HISTORY}"] if malformed else []


def _decoded(raw: bytes) -> Line | None:
    try:
        line = jsonl.decode(_decoder, raw)
        if line.op in KNOWN or not line.task:
            return line
        facts = {name: fact for name, fact in jsonl.decode(_facts, raw).items() if name not in _HEAD}
        return msgspec.structs.replace(line, facts=facts)
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
