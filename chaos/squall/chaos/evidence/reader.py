"""Reads a run's directory into a `History`. Judges nothing: what it cannot read, it says.

    spec.toml   nodes.jsonl   history.jsonl   faults.jsonl   counters.jsonl   venue.sqlite
        └────────────┴──────┬──────┴───────────────┴───────────────┴──────────────┘
                            ▼
                         History

Lines of ``history.jsonl`` have ``time_s``, ``node``, ``inc`` (incarnation), ``i`` (its writer's own count,
from 1), ``op`` and ``type`` (invoke, ok, fail, unknown), and by operation:

    submit  invoke {task, submit_s}, then ok | fail | unknown {task}     producer
    commit  fail {reason: already}: a second register refused            agent
    refuse  fail {what, task, order_id, reason}: an effect given up          gateway
    lead    ok {term}            resign  ok {term}                       coordinator
    fenced  fail {term}          dispatch  ok {term, tasks, first}       coordinator
    final   ok {what: register | job | queue | dead-letter | complete}   the command, from the broker
    note    ok {limits, environment}                                     the command
    expel   ok {agent, reason}: put out of the swarm                     the command
    phase   ok {what: steady | healed}                                   the nemesis
    interfere  ok {what, on, struck}                                     a node that is interfered with
    interfered  fail {reason}                                            the nemesis: somebody meddled with it
    run  invoke {task}, then attempt | commit {task}                     agent
    end  ok {reason}             counters  ok {counters}                 a node
    expel  ok {agent, reason}                                            whoever put the agent out
    killed  ok {agent, incarnation, reason}                              whoever ended a node for a reason

Other operations tell a reader what happened; no verdict rests on them.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from squall.bus.border import printable
from squall.chaos.errors import NotARunError
from squall.chaos.evidence import lines as lines
from squall.chaos.evidence import venue as venue_books
from squall.chaos.evidence.lives import Gathering
from squall.chaos.evidence.model import (
    Asked,
    Closing,
    Counted,
    Dispatch,
    History,
    Injected,
    Job,
    NodeStart,
    Outcome,
    Phase,
    Queue,
    Refusal,
    Register,
    Reign,
    Venue,
    Writer,
)
from squall.chaos.evidence.series import SERIES
from squall.chaos.evidence.venue import Orders
from squall.services import jsonl
from squall.services.jsonl import LINE_BYTES_MAX, decode
from squall.services.run.counters import COUNTERS

SPEC = "spec.toml"
NODES = "nodes.jsonl"
HISTORY = "history.jsonl"
FAULTS = "faults.jsonl"
VENUE = "venue.sqlite"

REMEDY = "name the directory of a run, for instance runs/<id>"

T = TypeVar("T")


def read(run: Path) -> History:
    """Everything a run's directory tells.

    Raises:
        NotARunError: It is no directory, or holds neither a spec nor a history.
    """
    require_run(run)
    fold = _Fold()
    for number, line in fold.each_line(run / HISTORY):
        try:
            fold.add(line)
        except msgspec.DecodeError as error:
            fold.reject(HISTORY, number, error)
    nodes = tuple(_records(fold, run / NODES, NodeStart))
    faults = _newest(_records(fold, run / FAULTS, Injected))
    counters = tuple(_records(fold, run / COUNTERS, Counted))
    asked = _asked(fold, run / SPEC)
    venue = _venue(fold, run / VENUE)
    return fold.history(asked, nodes, faults, counters, venue)


def require_run(run: Path) -> None:
    """See that a directory is one of a run.

    Raises:
        NotARunError: It is no directory, or holds neither a spec nor a history.
    """
    if not run.is_dir():
        raise NotARunError(f"{run} is no directory", REMEDY)
    if (run / SERIES).exists():
        raise NotARunError(f"{run} holds a series of runs", f"name one of them, for instance {run}/seed-1")
    if not (run / SPEC).exists() and not (run / HISTORY).exists():
        raise NotARunError(f"{run} holds no run: it has neither {SPEC} nor {HISTORY}", REMEDY)


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
    fold = _Fold()
    nodes = tuple(_records(fold, run / NODES, NodeStart))
    faults = _newest(_records(fold, run / FAULTS, Injected))
    orders = Orders()
    has_venue = (run / VENUE).exists()
    if has_venue:
        try:
            orders = venue_books.orders(run / VENUE, prefix, wanted)
        except venue_books.UnreadableError as error:
            fold.unreadable.append(str(error))
            has_venue = False
    return Surroundings(
        nodes=nodes,
        faults=faults,
        orders=orders,
        has_venue=has_venue,
        unreadable=tuple(fold.unreadable),
    )


class _Fold:
    """Gathers a history line by line."""

    def __init__(self) -> None:
        self.unreadable: list[str] = []
        self._read = 0
        self._truncated = 0
        self._malformed: dict[str, list[int]] = {}
        self._writers: dict[tuple[str, int], list[int]] = {}
        self._offers: dict[str, lines.Offers] = {}
        self._unasked = 0
        self._suppressed = 0
        self._refusals: list[Refusal] = []
        self._registers: list[Register] = []
        self._damaged: list[str] = []
        self._dead: list[str] = []
        self._leads: list[Reign] = []
        self._resigned: list[Reign] = []
        self._fenced: list[Reign] = []
        self._dispatches: list[Dispatch] = []
        self._jobs: list[Job] = []
        self._queue: Queue | None = None
        self._closing: Closing | None = None
        self._read_back_s: float | None = None
        self._ended_s: float | None = None
        self._spans: dict[tuple[str, int], tuple[float, float]] = {}
        self._note = lines.Note()
        self._phases: list[Phase] = []
        self._times: tuple[float, float] | None = None
        self._interfered: list[str] = []
        self._lives = Gathering()

    # Lines of a file.

    def each_line(self, path: Path) -> Iterator[tuple[int, bytes]]:
        """Its lines, numbered from 1; a half one at the end is counted and left out."""
        try:
            with path.open("rb") as file:
                for number, line in enumerate(jsonl.lines(file), start=1):
                    if line is None:
                        self.reject(path.name, number, f"longer than {LINE_BYTES_MAX:,} bytes")
                    elif not line.endswith(b"\n") and not _is_json(line):
                        self._truncated += 1
                    else:
                        yield number, line
        except FileNotFoundError:
            return
        except OSError as error:
            self.unreadable.append(f"{path.name} cannot be read: {error.strerror}")

    def reject(self, file: str, number: int, why: object) -> None:
        """A whole line that says nothing: the first is described, the rest counted."""
        if file not in self._malformed:
            self._malformed[file] = []
            self.unreadable.append(f"{file} line {number} is malformed ({printable(str(why))})")
        self._malformed[file].append(number)

    # Lines of the history.

    def add(self, line: bytes) -> None:
        """Take a line in.

        Raises:
            msgspec.DecodeError: It is malformed.
        """
        head = decode(lines.line, line)
        who = (head.node, head.inc)
        match head.op, head.type:
            case "submit", "invoke":
                offer = decode(lines.offer, line)
                offers = self._offers.setdefault(offer.task, lines.Offers(offer.submit_s))
                if offers.waiting is not None:
                    offers.outcomes.add("unknown")
                offers.waiting = who
            case "submit", kind:
                self._outcome(decode(lines.task, line).task, who, lines.OUTCOMES[kind])
            case "run", "invoke":
                self._lives.begin(who, decode(lines.task, line).task)
            case "attempt", _:
                self._lives.end(who, decode(lines.task, line).task)
            case "commit", kind:
                self._lives.end(who, decode(lines.task, line).task)
                if kind == "fail":
                    self._suppressed += decode(lines.commit, line).reason == "already"
            case "refuse", "fail":
                self._refusals.append(decode(lines.refusal, line))
            case "lead", "ok":
                self._leads.append(Reign(head.time_s, *who, decode(lines.term, line).term))
            case "resign", "ok":
                self._resigned.append(Reign(head.time_s, *who, decode(lines.term, line).term))
            case "fenced", "fail":
                self._fenced.append(Reign(head.time_s, *who, decode(lines.term, line).term))
            case "dispatch", "ok":
                batch = decode(lines.batch, line)
                self._dispatches.append(
                    Dispatch(head.time_s, head.node, batch.term, batch.tasks, batch.first)
                )
            case "final", "ok" | "fail":
                self._final(head, line)
            case "note", "ok":
                self._note = decode(lines.note, line)
            case "end", "ok":
                self._lives.give_reason(who, decode(lines.reason, line).reason)
            case "killed", "ok":
                killed = decode(lines.killed, line)
                self._lives.give_reason((killed.agent, killed.incarnation), killed.reason)
            case "counters", "ok":
                self._lives.count(who, decode(lines.counts, line).counters)
            case "expel", "ok":
                expelled = decode(lines.expelled, line)
                self._lives.expel(expelled.agent, expelled.reason)
            case "interfered", "fail":
                self._interfered.append(decode(lines.reason, line).reason)
            case "phase", "ok":
                self._phases.append(decode(lines.phase, line))
        self._count(who, head.i)
        first, last = self._spans.get(who, (head.time_s, head.time_s))
        self._spans[who] = (min(first, head.time_s), max(last, head.time_s))
        self._see(head.time_s)

    def _outcome(self, task: str, who: tuple[str, int], outcome: Outcome) -> None:
        offers = self._offers.setdefault(task, lines.Offers(None))
        if offers.waiting != who:
            self._unasked += 1
        offers.waiting = None
        offers.outcomes.add(outcome)

    def _final(self, head: lines.Line, line: bytes) -> None:
        match head.what, head.type:
            case "register", "ok":
                self._registers.append(decode(lines.register, line))
            case "register", _:
                self._damaged.append(decode(lines.damaged, line).subject)
            case "job", _:
                self._jobs.append(decode(lines.job, line))
            case "queue", _:
                self._queue = decode(lines.queue, line)
            case "dead-letter", _:
                self._dead.append(decode(lines.task, line).task)
            case "complete", _:
                self._closing = decode(lines.closing, line)
                self._ended_s = head.time_s
        if self._read_back_s is None:
            self._read_back_s = head.time_s

    def _count(self, who: tuple[str, int], i: int) -> None:
        counts = self._writers.setdefault(who, [0, 0, 0, 0])  # lines, missing, repeated, highest
        self._read += 1
        counts[0] += 1
        if i > counts[3]:
            counts[1] += i - counts[3] - 1
            counts[3] = i
        else:
            counts[2] += 1

    def _see(self, time_s: float) -> None:
        first, last = self._times or (time_s, time_s)
        self._times = (min(first, time_s), max(last, time_s))

    # All of it.

    def history(
        self,
        asked: Asked,
        nodes: tuple[NodeStart, ...],
        faults: tuple[Injected, ...],
        counters: tuple[Counted, ...],
        venue: Venue | None,
    ) -> History:
        for node in nodes:
            self._see(node.started_s)
        for counted in counters:
            self._lives.count((counted.node, counted.incarnation), counted.counters)
        first, last = self._times or (None, None)
        for file, numbers in self._malformed.items():
            if len(numbers) > 1:
                self.unreadable.append(f"{len(numbers) - 1} more lines of {file} are malformed")
        return History(
            asked=asked,
            nodes=nodes,
            faults=faults,
            phases=tuple(self._phases),
            lines=self._read,
            truncated=self._truncated,
            unreadable=tuple(self.unreadable),
            writers=tuple(
                Writer(node, incarnation, counts[0], counts[1], counts[2], *self._spans[node, incarnation])
                for (node, incarnation), counts in self._writers.items()
            ),
            submissions={task: offers.submission(task) for task, offers in self._offers.items()},
            outcomes_unasked=self._unasked,
            registers=tuple(self._registers),
            registers_damaged=tuple(self._damaged),
            dead_letters=tuple(self._dead),
            suppressed=self._suppressed,
            refusals=tuple(self._refusals),
            leads=tuple(self._leads),
            resigned=tuple(self._resigned),
            fenced=tuple(self._fenced),
            dispatches=tuple(self._dispatches),
            jobs=tuple(self._jobs),
            queue=self._queue,
            closing=self._closing,
            read_back_s=self._read_back_s,
            ended_s=self._ended_s,
            first_s=first,
            last_s=last,
            limits=self._note.limits,
            environment=self._note.environment,
            venue=venue,
            interfered=tuple(self._interfered),
            lives=self._lives.lives(),
        )


_raw = msgspec.json.Decoder(msgspec.Raw)


def _is_json(line: bytes) -> bool:
    with contextlib.suppress(msgspec.DecodeError):
        decode(_raw, line)
        return True
    return False


def _records(fold: _Fold, path: Path, kind: type[T]) -> Iterator[T]:
    decoder = msgspec.json.Decoder(kind)
    for number, line in fold.each_line(path):
        try:
            yield decode(decoder, line)
        except msgspec.DecodeError as error:
            fold.reject(path.name, number, error)


def _newest(faults: Iterator[Injected]) -> tuple[Injected, ...]:
    """Each fault once, as its last line tells, in the order of their beginnings."""
    found: dict[str, Injected] = {}
    for place, fault in enumerate(faults):
        found[fault.id or f"#{place}"] = fault
    return tuple(sorted(found.values(), key=lambda fault: fault.start_s))


def _asked(fold: _Fold, path: Path) -> Asked:
    try:
        values: dict[str, Any] = tomllib.loads(path.read_text())
        return msgspec.convert(values, Asked)
    except FileNotFoundError:
        reason = "is missing"
    except OSError as error:
        reason = f"cannot be read: {error.strerror}"
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        reason = f"is unusable: {error}"
    fold.unreadable.append(f"{path.name} {reason}")
    return Asked()


def _venue(fold: _Fold, path: Path) -> Venue | None:
    if not path.exists():
        return None
    try:
        return venue_books.witnessed(path)
    except venue_books.UnreadableError as error:
        fold.unreadable.append(str(error))
        return None
