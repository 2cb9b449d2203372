"""One task's whole timeline, from the directory of its run alone. Pure; `evidence/task.py` reads.

    history.jsonl ──lines of the task, changes of leader──┐
    nodes.jsonl  faults.jsonl  venue.sqlite ──────────────┴─► Evidence ─► Timeline

Nothing is guessed. What no line tells is named as not recorded: a line about a
batch or a delivery carries counts, so that the hot paths need not write a line
for each task. The order of moments is that of the writers' clocks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from squall.bus.border import printable
from squall.chaos.evidence.facts import Injected, NodeStart
from squall.chaos.evidence.task import KNOWN, Evidence, Line
from squall.chaos.plan.kinds import KINDS
from squall.chaos.tell.executions import EXECUTIONS_MAX, TracedExecution, end_of, executions
from squall.chaos.tell.fate import Fate, fate_of, span
from squall.chaos.tell.hold_ups import hold_ups
from squall.services.roles.handler_told import RETURNED

STORED = {"dispatch": "dispatched"}
"""What became of a task in a batch, where the operation's own name is no word for it."""

SAME_S = 0.005
"""What two sources tell within so long of the same thing is told once."""

AT_ONCE_S = 0.1
"""A fault that does not last, and was over so soon, has one moment and not two."""


MISTAKES = {
    "raised": "raised",
    "gave-up": "gave it up",
    "returned": "returned",
    "late": "late",
    "order": "returned",
    "error": "answered with an error",
    "broke": "broke off",
    "answered": "answered",
}
"""What a handler did in an attempt, by what its agent calls it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened, in seconds since the epoch by the clock of whoever wrote it down."""

    time_s: float
    node: str
    what: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """One task from the moment it was due.

    Attributes:
        due_s: None where no line tells; times then count from the first moment.
        moments: In order of time.
        executions: The starts of its handler, by the lines of the agents; the first, if there are very many.
        executed: How many there are.
        not_recorded: What one would like to know besides, and no line tells.
        outcome: What became of it, in a sentence.
    """

    run: str
    task: str
    job: str
    due_s: float | None
    moments: tuple[Moment, ...]
    executions: tuple[TracedExecution, ...]
    executed: int
    not_recorded: tuple[str, ...]
    fate: Fate
    outcome: str

    @property
    def origin_s(self) -> float:
        """What times count from."""
        return self.moments[0].time_s if self.due_s is None and self.moments else self.due_s or 0.0


def timeline(evidence: Evidence) -> Timeline:
    """Put what is known of a task in order. Pure."""
    fate, outcome = fate_of(evidence)
    dispatched, unknown_batch = _dispatched(evidence)
    executed, uncounted = executions(evidence)
    own = [
        *_offered(evidence.own),
        *dispatched,
        *_tried(evidence.own),
        *(_recorded(line, evidence) for line in evidence.own if line.is_record),
        *(_registered(register) for register in evidence.registers),
        *_given_up(evidence.own),
        *_as_it_stands(evidence.own),
        *_delivered(evidence),
    ]
    times = [moment.time_s for moment in own]
    ended = fate in ("filled", "ended", "dead", "cancelled", "rejected", "refused")
    last_s = max(times, default=math.inf) if ended else evidence.closed_s or math.inf
    around = _swarm_between(evidence, min(times, default=-math.inf), last_s)
    letters = [
        Moment(line.time_s, line.node, "dead letter", "as read back; when it was written is not recorded")
        for line in evidence.own
        if line.what == "dead-letter"
    ]
    held_up = [Moment(time_s, node, "held up", said) for time_s, node, said in hold_ups(evidence)]
    return Timeline(
        run=evidence.run,
        task=evidence.task,
        job=next((line.job for line in evidence.own if line.job), ""),
        due_s=evidence.due_s,
        moments=tuple(sorted([*around, *own, *held_up, *letters], key=lambda moment: moment.time_s)),
        executions=tuple(executed[:EXECUTIONS_MAX]),
        executed=len(executed),
        not_recorded=(
            *_untold(evidence),
            *unknown_batch,
            *uncounted[:EXECUTIONS_MAX],
            *evidence.unreadable,
        ),
        fate=fate,
        outcome=outcome,
    )


# What happened to the task.


def _offered(own: Sequence[Line]) -> Iterator[Moment]:
    """When it was due, each submission, and what came back."""
    due = next((line for line in own if line.submit_s is not None), None)
    if due is not None and due.submit_s is not None:
        yield Moment(due.submit_s, due.node, "due", f"job {due.job}" if due.job else "")
    for line in own:
        if line.op != "submit":
            continue
        again = f"refused {line.refusals} times before" if line.refusals else ""
        match line.type:
            case "invoke":
                yield Moment(line.time_s, line.node, "submitted", _start(line) if line.inc > 1 else "")
            case "ok":
                place = f"at {line.seq} of the ingress" if line.seq else ""
                yield Moment(line.time_s, line.node, "accepted", _join(place, again))
            case "fail":
                yield Moment(line.time_s, line.node, "refused", _join(line.reason, again))
            case "unknown":
                yield Moment(line.time_s, line.node, "submission unknown", _join(line.reason, again))


def _dispatched(evidence: Evidence) -> tuple[list[Moment], list[str]]:
    """Who dispatched it under which term, and in which batch as far as the lines tell; else what is missing.

    A leader tells of a batch once it is stored, which an agent may be faster than. So the batch is one of
    its term that was told of after the task was submitted, up to the first after its first attempt began.
    """
    if any(line.is_record and line.term for line in evidence.own):
        return [], []  # what its leader stored of it was read back record by record
    term = next((line.term for line in evidence.registers if line.term), 0)
    if not term:
        led = any(line.op == "lead" for line in evidence.swarm)
        return [], ["the term it was dispatched under, which its register would tell"] if led else []
    submitted_s = min((line.time_s for line in evidence.own if line.op == "submit"), default=-math.inf)
    begun_s = min(
        [line.time_s for line in evidence.own if line.op == "run"]
        + [line.stored_s for line in evidence.registers]
    )
    batches = []
    for line in evidence.swarm:
        if line.is_batch and line.term == term and line.time_s >= submitted_s:
            batches.append(line)
            if line.time_s >= begun_s:
                break
    if not batches:
        return [], ["the batch it was dispatched in"]
    first, last = batches[0], batches[-1]
    detail = f"term {term}, in a batch of {first.tasks}"
    if len(batches) > 1:
        several = f"one of {len(batches)} batches told of within {span(first.time_s, last.time_s)}"
        detail = f"term {term}, in {several}; which is not recorded"
    stored = STORED.get(first.op) or first.op
    return [Moment(first.time_s, first.node, stored, detail)], []


def _tried(own: Sequence[Line]) -> Iterator[Moment]:
    """Each attempt, and how it ended."""
    for line in own:
        attempt = f"attempt {line.attempt}"
        match line.op, line.type:
            case "run", _:
                yield Moment(line.time_s, line.node, f"{attempt} begun", _start(line))
            case "handler", _:
                yield Moment(
                    line.time_s, line.node, f"{attempt} {MISTAKES.get(line.what, line.what)}", _mistake(line)
                )
            case "empty", _:
                at = f"its handler begins at {printable(line.at)}" if line.at else ""
                yield Moment(line.time_s, line.node, f"{attempt} returned nothing", at)
            case "attempt", kind if kind != "fail" and not line.attempt:
                yield Moment(line.time_s, line.node, "attempt not counted", _uncounted(line.reason))
            case "attempt" | "absent" | "commit", _:
                what, why = end_of(line)
                yield Moment(line.time_s, line.node, f"{attempt} {what}", why)


_API = re.compile(r"\$JS\.[^\s,;:]+")
"""A subject by which the broker is asked for something."""


def _uncounted(reason: str) -> str:
    """Why an attempt was not made whose number could not be read or written."""
    said = printable(_API.sub("the broker", reason))
    return ": ".join(filter(None, ("not run, as nobody knew which attempt it was", said)))


def _mistake(line: Line) -> str:
    """What a handler did wrong, and its own frames, outermost first."""
    frames = line.trace or ((line.at,) if line.at else ())
    if line.what in RETURNED and frames:
        frames = (f"its handler begins at {frames[0]}",)
    return printable("; ".join((line.said or line.reason, *frames)), 1000)


def _given_up(own: Sequence[Line]) -> Iterator[Moment]:
    """Effects that the gateway will not have carried out, and why."""
    for line in own:
        if line.op == "refuse":
            yield Moment(
                line.time_s, line.node, "refused", f"order {line.order_id}: {printable(line.reason)}"
            )


def _as_it_stands(own: Sequence[Line]) -> Iterator[Moment]:
    """Lines of operations that are not known here: a pattern's own, each with all it says."""
    for line in own:
        if line.op not in KNOWN:
            facts = (f"{name} {_fact(fact)}" for name, fact in line.facts.items() if name != "task")
            yield Moment(line.time_s, line.node, f"{line.op} {line.type}", _join(*facts))


def _fact(fact: object) -> str:
    return printable(fact if isinstance(fact, str) else msgspec.json.encode(fact).decode())


def _recorded(line: Line, evidence: Evidence) -> Moment:
    """A record of the task that was read back from its leader's log; by the leader, if it is of a term."""
    leads = (each.node for each in evidence.swarm if each.op == "lead" and each.term == line.term)
    term = f"term {line.term}" if line.term else ""
    return Moment(
        line.stored_s,
        next(leads, line.agent),
        line.what,
        _join(line.status, term, f"at {line.seq} of the log", printable(line.reason)),
    )


def _registered(line: Line) -> Moment:
    said = [
        line.status,
        f"attempt {line.attempt}",
        f"term {line.term}" if line.term else "",
        f"orders {', '.join(line.effects)}" if line.effects else "no order",
        line.reason,
    ]
    # Beside its agent's own word that it committed, which another line tells.
    return Moment(line.stored_s, line.agent, "register", f"as the broker has it: {_join(*said)}")


def _delivered(evidence: Evidence) -> Iterator[Moment]:
    """Each order as the venue journaled it, and what it answered.

    The venue journals a request, then fills it, so a fill answers the newest request before it. Where it did
    so at once, the fill alone is told.
    """
    for order_id, times in evidence.fills.items():
        requests = [r for r in evidence.around.orders.received if r.order_id == order_id]
        received_s: dict[float, float] = {}
        for number, request in enumerate(requests, start=1):
            following_s = requests[number].time_s if number < len(requests) else math.inf
            filled_s = next((time_s for time_s in times if request.time_s <= time_s < following_s), None)
            if filled_s is not None and filled_s - request.time_s < SAME_S:
                received_s[filled_s] = request.time_s
                continue
            if filled_s is not None:
                answer = "which it filled"
            elif times[0] < request.time_s:
                answer = "a repeat, which it refused"
            else:
                answer = "which it did not come to fill"
            yield Moment(request.time_s, "venue", "received", f"order {order_id}, {answer}")
        for number, time_s in enumerate(times, start=1):
            again = f"for the {number}th time" if number > 1 else ""
            since = f"received {span(received_s[time_s], time_s)} before" if time_s in received_s else ""
            yield Moment(time_s, "venue", "filled", _join(f"order {order_id}", again, since))
    for request in evidence.around.orders.received:
        if request.order_id not in evidence.fills:
            answer = "which it did not fill"
            if not request.is_order:
                why = evidence.refusals.get(request.order_id, "it is no order")
                answer = f"which it rejected: {printable(why)}"
            yield Moment(request.time_s, "venue", "received", f"order {request.order_id}, {answer}")


# What happened to the swarm meanwhile.


def _swarm_between(evidence: Evidence, first_s: float, last_s: float) -> Iterator[Moment]:
    """Changes of leader; when the broker was slow; faults and restarts of it and of whoever had the task."""
    leads = sorted((line for line in evidence.swarm if line.op == "lead"), key=lambda line: line.time_s)
    for line in evidence.swarm:
        if first_s <= line.time_s <= last_s and line.op in ("lead", "resign", "fenced"):
            what = {"lead": "leads", "resign": "stands down", "fenced": "is fenced off"}[line.op]
            yield Moment(line.time_s, line.node, what, f"term {line.term}")
    before = [line.node for line in leads if line.time_s <= first_s][-1:]
    leaders = {*before, *(line.node for line in leads if first_s <= line.time_s <= last_s)}
    nodes = _touched(evidence) | leaders
    for fault in evidence.around.faults:
        ended_s = fault.end_s if fault.end_s is not None else math.inf
        struck = fault.node in nodes or fault.target == "broker"
        if struck and fault.start_s <= last_s and ended_s >= first_s:
            yield from _struck(fault)
    for line in evidence.swarm:
        if line.op == "broker" and line.at_s - (line.took_s or 0.0) <= last_s and line.at_s >= first_s:
            yield _slow(line)
    for start in evidence.around.nodes:
        if start.incarnation > 1 and start.node in nodes and first_s <= start.started_s <= last_s:
            yield Moment(start.started_s, start.node, "started again", f"incarnation {start.incarnation}")


def _touched(evidence: Evidence) -> set[str]:
    """The nodes that had a hand in the task, and those that all depend on."""
    wrote = {line.node for line in evidence.own if line.op != "final"}
    agents = {line.agent for line in evidence.registers}
    terms = {line.term for line in evidence.registers}
    led = {line.node for line in evidence.swarm if line.op == "lead" and line.term in terms}
    ordered = evidence.around.orders.received or any(line.effects for line in evidence.registers)
    roles = {"broker", "gateway", "venue"} if ordered else {"broker"}
    return wrote | agents | led | _of_roles(evidence.around.nodes, roles)


def _of_roles(nodes: Sequence[NodeStart], roles: set[str]) -> set[str]:
    return {start.node for start in nodes if start.role in roles}


def _slow(line: Line) -> Moment:
    """What the broker's log said, from when on that was so."""
    said = printable(line.said)
    if line.took_s is None:
        return Moment(line.at_s, "broker", line.what.replace("-", " "), said)
    return Moment(line.at_s - line.took_s, "broker", "busy", _join(f"for {line.took_s * 1e3:,.1f} ms", said))


def _struck(fault: Injected) -> Iterator[Moment]:
    node = fault.node or fault.target
    target = f"of {fault.target}" if fault.target != node else ""
    point = f"at {fault.point}" if fault.point else ""
    seen = "verified" if fault.verified else "not verified"
    end = "its end is not recorded" if fault.end_s is None else ""
    kind = KINDS.get(fault.kind)
    is_over = kind is not None and not kind.lasts
    if is_over and fault.end_s is not None and fault.end_s - fault.start_s < AT_ONCE_S:
        end = f"done within {span(fault.start_s, fault.end_s)}"
        yield Moment(fault.start_s, node, f"fault {fault.kind}", _join(target, point, seen, end))
        return
    yield Moment(fault.start_s, node, f"fault {fault.kind}", _join(target, point, seen, end))
    if fault.end_s is not None:
        held = f"after {span(fault.start_s, fault.end_s)}"
        yield Moment(fault.end_s, node, f"fault {fault.kind} ends", held)


# What is not known.


def _untold(evidence: Evidence) -> Iterator[str]:
    """What no line tells of the task."""
    if evidence.due_s is None:
        yield "when it was due"
    answered = {
        (line.node, line.inc) for line in evidence.own if line.op == "submit" and line.type != "invoke"
    }
    ends = ("attempt", "absent", "commit")
    ended = {(line.node, line.inc, line.attempt) for line in evidence.own if line.op in ends}
    for line in evidence.own:
        if line.op == "submit" and line.type == "invoke" and (line.node, line.inc) not in answered:
            yield f"what came back to {line.node}, {_start(line)}"
        if line.op == "run" and (line.node, line.inc, line.attempt) not in ended:
            yield f"how attempt {line.attempt} by {line.node}, {_start(line)}, ended"
    if not evidence.around.has_venue:
        yield "what the venue did: there is no database of it"


def _start(line: Line) -> str:
    return f"incarnation {line.inc}"


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
