"""One task's whole timeline, from the directory of its run alone. Pure; `trace_reader.py` reads.

    history.jsonl ──lines of the task, changes of leader──┐
    nodes.jsonl  faults.jsonl  venue.sqlite ──────────────┴─► Evidence ─► Timeline

Nothing is guessed. What no line tells is named as not recorded: a line about a
batch or a delivery carries counts, so that the hot paths need not write a line
for each task. The order of moments is that of the writers' clocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import msgspec

from squall.bus.border import printable
from squall.chaos.evidence.model import Injected, NodeStart
from squall.chaos.evidence.reader import Surroundings

Fate = Literal[
    "filled", "ended", "dead", "cancelled", "rejected", "refused", "open", "unknown",
    "lost", "doubled", "conflicting", "stray", "contradicted",
]  # fmt: skip
"""What became of a task. ``ended``: it intended no order. ``rejected``: an order of it was refused with a
reason, which is for whoever wrote the handler. ``open``: the run's record stops before its end.
``unknown``: whether it was accepted, or filled, is not known. Those of the second line must never be."""

GOOD: tuple[Fate, ...] = ("filled", "ended", "cancelled", "refused")
"""What becomes of a task where all is well."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the history, as far as a timeline needs it; see `squall.chaos.evidence.reader`."""

    time_s: float
    node: str
    inc: int
    op: str
    type: Literal["invoke", "ok", "fail", "unknown"]
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
    agent: str = ""
    stored_s: float = msgspec.field(name="time_s_stored", default=0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What a run's directory tells of one task.

    Attributes:
        own: Lines of the task itself.
        swarm: Lines about terms and batches, of whatever task, and the closing line.
        around: The run's nodes and faults, and the venue's rows for the task.
        unreadable: What could not be read, in words.
    """

    run: str
    task: str
    own: Sequence[Line]
    swarm: Sequence[Line]
    around: Surroundings
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
            if line.op == "refuse" and line.what in ("unsendable", "declined")
        }
        return told | dict(self.around.orders.refused)

    @property
    def fills(self) -> dict[str, list[float]]:
        """When each order of the task was filled."""
        found: dict[str, list[float]] = {}
        for order_id, time_s in self.around.orders.filled:
            found.setdefault(order_id, []).append(time_s)
        return found


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
        not_recorded: What one would like to know besides, and no line tells.
        outcome: What became of it, in a sentence.
    """

    run: str
    task: str
    job: str
    due_s: float | None
    moments: tuple[Moment, ...]
    not_recorded: tuple[str, ...]
    fate: Fate
    outcome: str

    @property
    def origin_s(self) -> float:
        """What times count from."""
        return self.moments[0].time_s if self.due_s is None and self.moments else self.due_s or 0.0


def timeline(evidence: Evidence) -> Timeline:
    """Put what is known of a task in order. Pure."""
    fate, outcome = _fate(evidence)
    dispatched, unknown_batch = _dispatched(evidence)
    own = [
        *_offered(evidence.own),
        *dispatched,
        *_tried(evidence.own),
        *(_registered(register) for register in evidence.registers),
        *_given_up(evidence.own),
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
    return Timeline(
        run=evidence.run,
        task=evidence.task,
        job=next((line.job for line in evidence.own if line.job), ""),
        due_s=evidence.due_s,
        moments=tuple(sorted([*around, *own, *letters], key=lambda moment: moment.time_s)),
        not_recorded=(*_untold(evidence), *unknown_batch, *evidence.unreadable),
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
    term = next((line.term for line in evidence.registers if line.term), 0)
    if not term:
        return [], ["the term it was dispatched under, which its register would tell"]
    submitted_s = min((line.time_s for line in evidence.own if line.op == "submit"), default=-math.inf)
    begun_s = min(
        [line.time_s for line in evidence.own if line.op == "run"]
        + [line.stored_s for line in evidence.registers]
    )
    batches = []
    for line in evidence.swarm:
        if line.op == "dispatch" and line.term == term and line.time_s >= submitted_s:
            batches.append(line)
            if line.time_s >= begun_s:
                break
    if not batches:
        return [], ["the batch it was dispatched in"]
    first, last = batches[0], batches[-1]
    detail = f"term {term}, in a batch of {first.tasks}"
    if len(batches) > 1:
        several = f"one of {len(batches)} batches told of within {_span(first.time_s, last.time_s)}"
        detail = f"term {term}, in {several}; which is not recorded"
    return [Moment(first.time_s, first.node, "dispatched", detail)], []


def _tried(own: Sequence[Line]) -> Iterator[Moment]:
    """Each attempt, and how it ended."""
    for line in own:
        attempt = f"attempt {line.attempt}"
        match line.op, line.type:
            case "run", _:
                yield Moment(line.time_s, line.node, f"{attempt} begun", _start(line))
            case "attempt", "fail":
                yield Moment(line.time_s, line.node, f"{attempt} failed", line.reason)
            case "attempt", _:
                yield Moment(line.time_s, line.node, "attempt not counted", _join("not run", line.reason))
            case "commit", "ok":
                yield Moment(line.time_s, line.node, f"{attempt} committed", line.status)
            case "commit", "fail" if line.reason == "already":
                yield Moment(
                    line.time_s, line.node, f"{attempt} suppressed", "its register was written before"
                )
            case "commit", "fail":
                yield Moment(line.time_s, line.node, f"{attempt} not committed", line.reason)
            case "commit", _ if line.reason == "settled":
                detail = "its register is written, perhaps by an earlier try of this commit"
                yield Moment(line.time_s, line.node, f"{attempt} settled", detail)
            case "commit", _:
                yield Moment(line.time_s, line.node, f"{attempt} commit unknown", line.reason)


def _given_up(own: Sequence[Line]) -> Iterator[Moment]:
    """Effects that the gateway will not have carried out, and why."""
    for line in own:
        if line.op == "refuse":
            yield Moment(
                line.time_s, line.node, "refused", f"order {line.order_id}: {printable(line.reason)}"
            )


def _registered(line: Line) -> Moment:
    said = [
        line.status,
        f"attempt {line.attempt}",
        f"term {line.term}",
        f"orders {', '.join(line.effects)}" if line.effects else "no order",
        line.reason,
    ]
    return Moment(line.stored_s, line.agent, "register", _join(*said))


def _delivered(evidence: Evidence) -> Iterator[Moment]:
    """Each order as the venue journaled it, and what it answered.

    The venue journals a request, then fills it, so a fill answers the newest request before it.
    """
    for order_id, times in evidence.fills.items():
        requests = [r for r in evidence.around.orders.received if r.order_id == order_id]
        for number, request in enumerate(requests, start=1):
            following_s = requests[number].time_s if number < len(requests) else math.inf
            if any(request.time_s <= time_s < following_s for time_s in times):
                answer = "which it filled"
            elif times[0] < request.time_s:
                answer = "a repeat, which it refused"
            else:
                answer = "which it did not come to fill"
            yield Moment(request.time_s, "venue", "received", f"order {order_id}, {answer}")
        for number, time_s in enumerate(times, start=1):
            again = f", for the {number}th time" if number > 1 else ""
            yield Moment(time_s, "venue", "filled", f"order {order_id}{again}")
    for request in evidence.around.orders.received:
        if request.order_id not in evidence.fills:
            answer = "which it did not fill"
            if not request.is_order:
                why = evidence.refusals.get(request.order_id, "it is no order")
                answer = f"which it rejected: {printable(why)}"
            yield Moment(request.time_s, "venue", "received", f"order {request.order_id}, {answer}")


# What happened to the swarm meanwhile.


def _swarm_between(evidence: Evidence, first_s: float, last_s: float) -> Iterator[Moment]:
    """Changes of leader; faults and restarts of the broker, the leaders and whoever had the task."""
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


def _struck(fault: Injected) -> Iterator[Moment]:
    node = fault.node or fault.target
    target = f"of {fault.target}" if fault.target != node else ""
    point = f"at {fault.point}" if fault.point else ""
    seen = "verified" if fault.verified else "not verified"
    end = "its end is not recorded" if fault.end_s is None else ""
    yield Moment(fault.start_s, node, f"fault {fault.kind}", _join(target, point, seen, end))
    if fault.end_s is not None:
        held = f"after {_span(fault.start_s, fault.end_s)}"
        yield Moment(fault.end_s, node, f"fault {fault.kind} ends", held)


# What is not known, and what became of it.


def _untold(evidence: Evidence) -> Iterator[str]:
    """What no line tells of the task."""
    if evidence.due_s is None:
        yield "when it was due"
    answered = {
        (line.node, line.inc) for line in evidence.own if line.op == "submit" and line.type != "invoke"
    }
    ended = {(line.node, line.inc, line.attempt) for line in evidence.own if line.op in ("attempt", "commit")}
    for line in evidence.own:
        if line.op == "submit" and line.type == "invoke" and (line.node, line.inc) not in answered:
            yield f"what came back to {line.node}, {_start(line)}"
        if line.op == "run" and (line.node, line.inc, line.attempt) not in ended:
            yield f"how attempt {line.attempt} by {line.node}, {_start(line)}, ended"
    if not evidence.around.has_venue:
        yield "what the venue did: there is no database of it"


def _outcome(own: Sequence[Line]) -> Literal["accepted", "refused", "unknown"] | None:
    """All submissions taken together; None if there was none. One that was not answered is unknown."""
    lines = [line for line in own if line.op == "submit"]
    answers = {(line.node, line.inc): line.type for line in lines if line.type != "invoke"}
    asked = {(line.node, line.inc) for line in lines}
    kinds = {*answers.values(), *(["unknown"] if asked - set(answers) else [])}
    if not kinds:
        return None
    return "accepted" if "ok" in kinds else "unknown" if "unknown" in kinds else "refused"


def _fate(evidence: Evidence) -> tuple[Fate, str]:
    """What became of a task, as the checks H1 and H2 would count it: what must never be comes first."""
    registers, fills, closed = evidence.registers, evidence.fills, evidence.closed_s is not None
    intended = {order_id for line in registers if line.status == "ok" for order_id in line.effects}
    if len(registers) > 1:
        return "doubled", f"DOUBLED: {len(registers)} registers."
    for order_id, times in fills.items():
        if len(times) > 1:
            return "doubled", f"DOUBLED: {len(times)} fills of order {order_id}."
    bodies: dict[str, set[str]] = {}
    for request in evidence.around.orders.received:
        bodies.setdefault(request.order_id, set()).add(request.body)
        if len(bodies[request.order_id]) > 1:
            return "conflicting", f"CONFLICTING: order {request.order_id} came with different bodies."
    for order_id in fills:
        if order_id not in intended and (registers or closed):
            return "stray", f"STRAY: order {order_id} was filled and no register intends it."
    if not registers:
        return _unregistered(evidence)
    if _outcome(evidence.own) == "refused":
        return "contradicted", "CONTRADICTED: its submission was refused and it has a register."
    return _ended(evidence, registers[0])


def _unregistered(evidence: Evidence) -> tuple[Fate, str]:
    """What became of a task without a register."""
    closed = evidence.closed_s is not None
    match _outcome(evidence.own):
        case "accepted" if closed:
            return "lost", "LOST: accepted and no register."
        case "refused":
            why = next((line.reason for line in reversed(evidence.own) if line.type == "fail"), "")
            return "refused", _sentence("refused, and nothing came of it", why)
        case "unknown" if closed:
            return "unknown", "Whether it was accepted is not known, and it has no register."
        case "accepted" | "unknown" as outcome:
            accepted = "accepted" if outcome == "accepted" else "perhaps accepted"
            return "open", f"Open: {accepted}, and the run's registers were not read back."
    return "unknown", "What became of it is not recorded."


def _ended(evidence: Evidence, register: Line) -> tuple[Fate, str]:
    """What became of a task with one register."""
    closed = evidence.closed_s is not None
    if register.status != "ok":
        fate: Fate = "dead" if register.status == "dead" else "cancelled"
        after = f"{fate} after {register.attempt} attempt{'' if register.attempt == 1 else 's'}"
        lettered = any(line.what == "dead-letter" for line in evidence.own)
        missing = "; there is NO dead letter of it" if fate == "dead" and closed and not lettered else ""
        return fate, _sentence(after, register.reason.rstrip(".") + missing)
    if not register.effects:
        return "ended", f"Ended without an order{_after_due(evidence, register.stored_s)}."
    if not evidence.around.has_venue:
        return "unknown", "It has a register; whether its orders were filled is not recorded."
    unfilled = [order_id for order_id in register.effects if order_id not in evidence.fills]
    refused = [order_id for order_id in unfilled if order_id in evidence.refusals]
    if unfilled and unfilled == refused:
        return "rejected", _sentence(f"order {refused[0]} refused", printable(evidence.refusals[refused[0]]))
    unfilled = [order_id for order_id in unfilled if order_id not in evidence.refusals]
    if unfilled and not closed:
        return "open", f"Open: order {unfilled[0]} was not filled before the run's record stops."
    if unfilled:
        return "lost", f"LOST: order {unfilled[0]} was never filled."
    filled_s = max(time_s for order_id in register.effects for time_s in evidence.fills[order_id])
    if len(register.effects) == 1:
        return "filled", f"Filled once{_after_due(evidence, filled_s)}."
    after = _after_due(evidence, filled_s)
    return "filled", f"{len(register.effects)} orders filled, each once{', the last' * bool(after)}{after}."


def _after_due(evidence: Evidence, time_s: float) -> str:
    return "" if evidence.due_s is None else f" {_span(evidence.due_s, time_s)} after it was due"


def _start(line: Line) -> str:
    return f"incarnation {line.inc}"


def _span(start_s: float, end_s: float) -> str:
    return f"{(end_s - start_s) * 1e3:,.1f} ms"


def _join(*parts: str) -> str:
    return ", ".join(part for part in parts if part)


def _sentence(what: str, why: str) -> str:
    text = f"{what}: {why.rstrip('.')}" if why else what
    return text[:1].upper() + text[1:] + "."
