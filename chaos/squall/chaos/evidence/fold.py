"""Gathers a history line by line. Pure.

What every run has is decoded here; what belongs to its pattern, by the structs that the pattern declares. A
pattern may declare an operation that every run has, too: its checks then see each line of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from squall.chaos.evidence import lines
from squall.chaos.evidence.facts import (
    Asked,
    Closing,
    Counted,
    HeldUp,
    Injected,
    Intended,
    Kept,
    Left,
    Letter,
    Mistake,
    NodeStart,
    Operation,
    Phase,
    Refusal,
    Register,
    Weighed,
)
from squall.chaos.evidence.lives import Gathering
from squall.chaos.evidence.model import Execution, Handled, History, Outcome, Pace, Submission, Venue, Writer
from squall.chaos.evidence.operations import Decoders, Operations, key
from squall.services.jsonl import decode
from squall.services.run import handled
from squall.services.run.result import Busy

HEARTBEATS_MIN = 5
"""Of fewer heartbeats, none may have been fast enough to tell anything of its sender's clock."""

OUTCOMES: dict[str, Outcome] = {"ok": "accepted", "fail": "refused", "unknown": "unknown"}


class Offers:
    """All offers of one task: which incarnation still waits for an outcome, and what came back so far."""

    def __init__(self, intended_s: float | None, input_crc: int | None = None) -> None:
        self.intended_s = intended_s
        self.input = input_crc
        self.waiting: tuple[str, int] | None = None
        self.asked_s = 0.0
        self.refused_s: tuple[float, float] | None = None
        self.outcomes: set[Outcome] = set()
        self.is_cut_short = False

    def submission(self, task: str, *, begun_by: int) -> Submission:
        """All of it together.

        Args:
            begun_by: The last start of a producer that offered a task that nobody had offered before.
        """
        outcomes = self.outcomes if self.waiting is None else self.outcomes | {"unknown"}
        outcome: Outcome = "refused"
        if "accepted" in outcomes:
            outcome = "accepted"
        elif "unknown" in outcomes:
            outcome = "unknown"
        abandoned = outcome == "unknown" and self.waiting is not None and self.waiting[1] < begun_by
        return Submission(
            task,
            self.intended_s,
            outcome,
            is_abandoned=abandoned,
            refused_s=self.refused_s,
            input=self.input,
            is_cut_short=self.is_cut_short and "refused" in outcomes,
        )


WAIT = "wait"
"""Of a sink that wanted to be left alone, so that what it was sent came again."""


class Fold:
    """Gathers a history line by line.

    Args:
        declared: The operations of the run's pattern.
    """

    def __init__(self, declared: Operations) -> None:
        self._read = 0
        self._declared = Decoders(declared)
        self._records: dict[type[Operation], list[Operation]] = {}
        self._undeclared: Counter[str] = Counter()
        self._absent: dict[str, str] = {}
        self._absences = 0
        self._writers: dict[tuple[str, int], list[int]] = {}
        self._offers: dict[str, Offers] = {}
        self._paces: dict[tuple[str, int], Pace] = {}
        self._begun_by = 0
        self._unasked = 0
        self._suppressed = 0
        self._refusals: list[Refusal] = []
        self._unanswered_effects = 0
        self._journal = ""
        self._mistakes: list[Mistake] = []
        self._held_up: list[HeldUp] = []
        self._empty: set[str] = set()
        self._empty_at = ""
        self._came_of = handled.Handled()
        self._blamed = ""
        self._executions: dict[str, list[Execution]] = {}
        self._considered: dict[str, list[Execution]] = {}
        self._registers: list[Register] = []
        self._damaged: list[str] = []
        self._dead: list[Letter] = []
        self._stored: int | None = None
        self._gone: list[str] = []
        self._left: list[Left] = []
        self._kept: list[Kept] = []
        self._memory: list[Weighed] = []
        self._closing: Closing | None = None
        self._offered_s: float | None = None
        self._read_back_s: float | None = None
        self._ended_s: float | None = None
        self._spans: dict[tuple[str, int], tuple[float, float]] = {}
        self._note = lines.Note()
        self._phases: list[Phase] = []
        self._times: tuple[float, float] | None = None
        self._interfered: list[str] = []
        self._interrupted_s: float | None = None
        self._busy: list[Busy] = []
        self._lives = Gathering()

    def add(self, line: bytes) -> None:
        """Take a line in.

        Raises:
            msgspec.DecodeError: It is malformed.
        """
        head = decode(lines.line, line)
        who = (head.node, head.inc)
        self._of_pattern(head, line, known=self._of_all(head, who, line))
        self._came_of.read(line)
        self._count(who, head.i)
        span = self._spans.get(who)
        self._spans[who] = (head.time_s, head.time_s) if span is None else _with(span, head.time_s)
        self._see(head.time_s)

    def _of_all(self, head: lines.Line, who: tuple[str, int], line: bytes) -> bool:
        """Take in what a line says of an operation that all patterns have; whether it is of one."""
        match head.op, head.type:
            case "submit", "invoke":
                offer = decode(lines.offer, line)
                if offer.task not in self._offers:
                    self._begun_by = max(self._begun_by, head.inc)
                offers = self._offers.setdefault(offer.task, Offers(offer.submit_s, offer.input))
                if offers.waiting is not None:
                    offers.outcomes.add("unknown")
                    offers.is_cut_short = True
                offers.waiting, offers.asked_s = who, head.time_s
                self._paces.setdefault(who, Pace(offer.submit_s, offer.submit_s)).due(offer.submit_s)
            case "submit", kind:
                self._outcome(decode(lines.answered, line), head, OUTCOMES[kind])
            case "run", "invoke":
                run = decode(lines.run, line)
                self._lives.begin(who, run.task)
                execution = Execution(head.time_s, *who, run.attempt, lap=run.lap)
                self._executions.setdefault(run.task, []).append(execution)
            case "consider", "invoke":  # a handler is asked for an opinion, which is no run of its task
                run = decode(lines.run, line)
                self._lives.begin(who, run.task, considered=True)
                execution = Execution(head.time_s, *who, run.attempt)
                self._considered.setdefault(run.task, []).append(execution)
            case "consider", kind:
                task = decode(lines.task, line).task
                self._lives.end(who, task, considered=True)
                self._end(self._considered, who, task, head.time_s, failed=kind == "fail")
            case "attempt", kind:
                task = decode(lines.task, line).task
                self._lives.end(who, task)
                self._end(self._executions, who, task, head.time_s, failed=kind == "fail")
            case "absent", "fail":
                absent = decode(lines.absent, line)
                considered = head.what == "consider"
                self._lives.end(who, absent.task, considered=considered)
                self._unbegin(self._considered if considered else self._executions, who, absent)
            case "commit", kind:
                task = decode(lines.task, line).task
                self._lives.end(who, task)
                self._end(self._executions, who, task, head.time_s)
                if kind == "fail":
                    self._suppressed += decode(lines.commit, line).reason == "already"
            case "refuse", "fail":
                self._refusals.append(decode(lines.refusal, line))
            case "deliver", "unknown":
                self._unanswered_effects += 1
            case "deliver", "fail" if head.what == WAIT:
                self._unanswered_effects += 1
            case "journal", "fail":
                self._journal = decode(lines.reason, line).reason
            case "handler", "fail":
                self._mistakes.append(decode(lines.mistake, line))
            case "empty", "ok":
                empty = decode(lines.empty, line)
                self._empty.add(empty.task)
                self._empty_at = self._empty_at or empty.at
            case "running", "ok":
                pass  # of who does not end it, and why, the end of the attempt tells
            case "blamed", "fail":
                self._blamed = decode(lines.reason, line).reason
            case "held-up", "ok":
                self._held_up.append(decode(lines.held_up, line))
            case "final", "ok" | "fail":
                known = self._final(head, line)
                if self._read_back_s is None:
                    self._read_back_s = head.time_s
                return known
            case "note", "ok":
                self._note = decode(lines.note, line)
            case "end", "ok":
                self._lives.give_reason(who, decode(lines.reason, line).reason)
            case "link", "ok":
                self._lives.connect(who, head.time_s)
            case "killed", "ok":
                killed = decode(lines.killed, line)
                self._lives.give_reason((killed.agent, killed.incarnation), killed.reason)
            case "ended", "ok":
                ended = decode(lines.ended, line)
                self._lives.exit((ended.agent, ended.incarnation), ended.status)
            case "counters", "ok":
                self._lives.count(who, decode(lines.counts, line).counters)
                self._lives.close(who)
            case "expel", "ok":
                expelled = decode(lines.expelled, line)
                self._lives.expel(expelled.agent, expelled.reason)
            case "interfered", "fail":
                self._interfered.append(decode(lines.reason, line).reason)
            case "interrupted", "ok":
                self._interrupted_s = head.time_s
            case "broker", "ok":
                self._busy.append(decode(lines.busy, line))
            case "memory", "ok":
                self._memory.append(decode(lines.memory, line))
            case "phase", "ok":
                self._phases.append(decode(lines.phase, line))
            case _:
                return False
        return True

    def _unbegin(self, begun: dict[str, list[Execution]], who: tuple[str, int], absent: lines.Absent) -> None:
        """Take back that an attempt was begun: its line was written before it was tried, and nobody came."""
        self._absent[absent.task] = absent.reason
        self._absences += 1
        runs = begun.get(absent.task, [])
        for place in reversed(range(len(runs))):
            run = runs[place]
            if (run.node, run.incarnation, run.attempt) == (*who, absent.attempt):
                del runs[place]
                break
        if not runs:
            begun.pop(absent.task, None)

    def _end(
        self,
        begun: Mapping[str, list[Execution]],
        who: tuple[str, int],
        task: str,
        time_s: float,
        *,
        failed: bool = False,
    ) -> None:
        for execution in reversed(begun.get(task, ())):
            if (execution.node, execution.incarnation) == who:
                execution.ended_s = time_s
                if failed:
                    execution.failed_s = time_s
                return

    def _outcome(self, answered: lines.Answered, head: lines.Line, outcome: Outcome) -> None:
        self._offered_s = head.time_s
        offers = self._offers.setdefault(answered.task, Offers(None))
        if offers.waiting != (head.node, head.inc):
            self._unasked += 1
        elif outcome == "refused" and answered.refusals:
            offers.refused_s = (offers.asked_s, head.time_s)
        offers.waiting = None
        offers.outcomes.add(outcome)

    def _final(self, head: lines.Line, line: bytes) -> bool:
        """Take in what the command read back; whether it is of what all patterns have."""
        match head.what, head.type:
            case "register", "ok":
                self._registers.append(decode(lines.register, line))
            case "register", _:
                self._damaged.append(decode(lines.damaged, line).subject)
            case "ingress", "ok":
                self._stored = decode(lines.stored, line).stored
            case "consumer", "ok":
                self._left.append(decode(lines.left, line))
            case "consumer", _:
                self._gone.append(decode(lines.gone, line).consumer)
            case "place", "ok":
                self._kept.append(decode(lines.kept, line))
            case "dead-letter", _:
                self._dead.append(decode(lines.letter, line))
            case "complete", _:
                self._closing = decode(lines.closing, line)
                self._ended_s = head.time_s
            case _:
                return False
        return True

    def _of_pattern(self, head: lines.Line, line: bytes, *, known: bool) -> None:
        """Keep the line for the pattern's checks, if it declares the operation, also one that all have."""
        declared = self._declared.of(head.op, head.what)
        if declared is None:
            if not known:
                self._undeclared[key(head.op, head.what)] += 1
            return
        kind, decoder = declared
        self._records.setdefault(kind, []).append(decode(decoder, line))

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
        self._times = (time_s, time_s) if self._times is None else _with(self._times, time_s)

    def history(
        self,
        *,
        asked: Asked,
        spec: Mapping[str, object],
        nodes: tuple[NodeStart, ...],
        faults: tuple[Injected, ...],
        intended: tuple[Intended, ...] | None,
        counters: tuple[Counted, ...],
        witness: Mapping[str, Handled],
        venue: Venue | None,
        truncated: int,
        unreadable: tuple[str, ...],
    ) -> History:
        """All that was gathered, and what was found elsewhere in the run's directory."""
        for node in nodes:
            self._see(node.started_s)
        for counted in counters:
            self._lives.count((counted.node, counted.incarnation), counted.counters)
        first, last = self._times or (None, None)
        return History(
            asked=asked,
            spec=spec,
            nodes=nodes,
            faults=tuple(fault for fault in faults if not fault.is_missed),
            missed=tuple(fault for fault in faults if fault.is_missed),
            intended=intended,
            phases=tuple(self._phases),
            lines=self._read,
            truncated=truncated,
            unreadable=unreadable,
            writers=tuple(
                Writer(node, incarnation, counts[0], counts[1], counts[2], *self._spans[node, incarnation])
                for (node, incarnation), counts in self._writers.items()
            ),
            paces=self._paces,
            submissions={
                task: offers.submission(task, begun_by=self._begun_by)
                for task, offers in self._offers.items()
            },
            outcomes_unasked=self._unasked,
            unanswered=Counter(o.waiting for o in self._offers.values() if o.waiting is not None),
            executions=self._executions,
            considered=self._considered,
            witness=witness,
            registers=tuple(self._registers),
            registers_damaged=tuple(self._damaged),
            stored=self._stored,
            gone=tuple(self._gone),
            left=tuple(self._left),
            kept=tuple(self._kept),
            memory=tuple(self._memory),
            dead_letters=tuple(self._dead),
            suppressed=self._suppressed,
            refusals=tuple(self._refusals),
            unanswered_effects=self._unanswered_effects,
            journal=self._journal,
            tells_of=self._note.handler,
            mistakes=tuple(self._mistakes),
            held_up=tuple(self._held_up),
            came_of=self._came_of,
            blamed=self._blamed,
            absent=self._absent,
            absences=self._absences,
            empty=frozenset(self._empty),
            empty_at=self._empty_at,
            records={kind: tuple(found) for kind, found in self._records.items()},
            undeclared=self._undeclared,
            closing=self._closing,
            offered_s=self._offered_s,
            read_back_s=self._read_back_s,
            ended_s=self._ended_s,
            first_s=first,
            last_s=last,
            limits=self._note.limits,
            environment=self._note.environment,
            durability=self._note.durability,
            venue=venue,
            interfered=tuple(self._interfered),
            interrupted_s=self._interrupted_s,
            busy=tuple(self._busy),
            ahead_s={
                (counted.node, counted.incarnation): counted.ahead_s
                for counted in counters
                if counted.ahead_s is not None and counted.heartbeats >= HEARTBEATS_MIN
            },
            lives=self._lives.lives(),
        )


def _with(span: tuple[float, float], time_s: float) -> tuple[float, float]:
    """A span of time that reaches to a further moment."""
    first, last = span
    if first <= time_s <= last:
        return span
    return (time_s, last) if time_s < first else (first, time_s)
