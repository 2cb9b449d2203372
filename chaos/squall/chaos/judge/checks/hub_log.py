"""What is read back of a hub's log, and what follows from it: S1, the decisions' part of S4, and E1. Pure.

term 1 ── request ── request ── decision ── decision ── term 7 ── request ── decision ──► in the log's order
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from squall.chaos.evidence.facts import Count, Operation, Time
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Batch, Lead
from squall.chaos.judge import replay
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks import leading
from squall.chaos.judge.checks.accounts import Balance, nothing_intended
from squall.chaos.judge.checks.holdings import beyond, moves
from squall.chaos.judge.checks.ledger import computed, differences, is_computed, unoffered
from squall.chaos.judge.decide import Finding, decide, named, some, undrained, unexercised, unknown
from squall.services.handlers import effect_id
from squall.services.rules.hub import FLATTEN, UNREQUESTED


class Decide(Batch, frozen=True, kw_only=True):
    """A batch of decisions that a hub stored."""

    tasks: Count = msgspec.field(name="decisions")


class Claimed(Operation, frozen=True, kw_only=True):
    """A term record: who claimed it; its sequence is the term."""

    seq: int
    holder: str


class Gift(Operation, frozen=True, kw_only=True):
    """A record of the hub's log by which a task is given to a spoke."""

    seq: int
    task: str
    to: str
    term: int


class Requested(Operation, frozen=True, kw_only=True):
    """A request in the hub's log; of type ``fail`` if it could not be read."""

    seq: int
    agent: str
    task: str
    status: str = ""
    effects: tuple[bytes, ...] = ()
    reduce_only: bool = False
    attempt: int = 0
    stored_s: Time = msgspec.field(name="time_s_stored", default=0.0)


class Decided(Operation, frozen=True, kw_only=True):
    """A decision in the hub's log, on the request of sequence ``request``; 0 if there was none."""

    seq: int
    task: str
    request: int
    term: int
    agent: str
    status: str
    effects: tuple[bytes, ...] = ()
    reduces: bool = False
    denied: str = ""
    reason: str = ""
    stored_s: Time = msgspec.field(name="time_s_stored")


class Snapshot(Operation, frozen=True, kw_only=True):
    """The hub's newest snapshot; below ``trimmed`` the log is gone."""

    seq: int
    decided: Count
    positions: dict[str, int] = msgspec.field(default_factory=dict)
    trimmed: Count = 0


def unwhole(history: History) -> list[str]:
    """Why the log that was read back is not all there was."""
    trimmed = max((snapshot.trimmed for snapshot in history.of(Snapshot)), default=0)
    return [
        *([f"the hub's log was trimmed below {trimmed:,}"] if trimmed else []),
        *([] if history.of(Snapshot) else ["no snapshot of the hub was read back"]),
    ]


def single_writer(case: Case) -> Finding:
    """S1: by sequence in the log, each decision is of the term that was claimed last before it."""
    history = case.history
    decisions, claims = history.of(Decided), sorted(history.of(Claimed), key=lambda claim: claim.seq)
    if not decisions:
        return unknown("no decision was read back")
    wrong = [*_out_of_term("decisions", decisions, claims), *_out_of_term("gifts", history.of(Gift), claims)]
    holders = {claim.seq: claim.holder for claim in claims}
    lines: list[Lead | Decide] = [*case.succession.leads, *history.of(Decide)]
    others = sorted({f"{i.node} in term {i.term}" for i in lines if holders.get(i.term, i.node) != i.node})
    terms = Counter(made.term for made in decisions)
    return decide(
        case,
        shown=[
            *wrong,
            *([f"a term was acted in by who does not hold it: {some(others)}"] if others else []),
            *leading.deposed_batches(case),
        ],
        inferred=_unstored(history),
        unseen=[*unwhole(history), *leading.unknown_leaders(case)],
        passed=f"{len(decisions):,} decisions in {len(terms)} of {len(claims)} terms, "
        f"each by the term's holder.",
    )


def _out_of_term(what: str, records: Sequence[Decided | Gift], claims: Sequence[Claimed]) -> list[str]:
    """Records of the log that are not of the term that was claimed last before them."""
    begun = [claim.seq for claim in claims]
    late, early = [], []
    for made in records:
        place = bisect.bisect(begun, made.seq)
        if not place:
            early.append(made.task)
        elif made.term != begun[place - 1]:
            late.append(f"{made.task} in term {made.term}, in that of {claims[place - 1].holder}")
    return [
        *([f"{len(late)} {what} of a term that was over: {some(late)}"] if late else []),
        *([f"{len(early)} {what} before any term: {some(early)}"] if early else []),
    ]


def _unstored(history: History) -> list[str]:
    """Decisions that a hub says it stored, and that are not in the log, which was read when all had ended."""
    if unwhole(history) or undrained(history):
        return []
    there = {made.seq for made in history.of(Decided)}
    told = sum(batch.tasks for batch in history.of(Decide))
    gone = sum(
        sequence not in there
        for batch in history.of(Decide)
        for sequence in range(batch.first, batch.first + min(batch.tasks, told))
    )
    return [f"lines tell of {gone:,} decisions that are not in the log"] if gone else []


def flattened(history: History) -> set[str]:
    """The tasks that spokes set themselves, to have positions closed."""
    return {register.task for register in history.registers if register.job == FLATTEN}


def one_decision(case: Case) -> Balance:
    """One decision for each accepted task, the same as its register."""
    history, counted = case.history, case.tally
    decisions: dict[str, Decided] = {}
    twice: dict[str, None] = {}
    for made in history.of(Decided):
        if made.task in decisions:
            twice[made.task] = None
        decisions.setdefault(made.task, made)
    differing = [
        task
        for task, made in decisions.items()
        if (register := counted.registers.get(task))
        and (made.status, made.term, made.agent, len(made.effects))
        != (register.status, register.term, register.agent, len(register.effects) or len(made.effects))
    ]
    whole = not unwhole(history) and not undrained(history)
    undecided = [task for task in counted.accepted if task not in decisions] if whole else []
    unregistered = [task for task in decisions if task not in counted.registers] if whole else []
    cut = sum(bool(made.denied) for made in decisions.values())
    return Balance(
        shown=[
            *named(list(twice), "task", "more than one decision"),
            *named(differing, "task", "another register than its decision"),
            *named(_unheard(history), "task", "a request in the log that the hub ended it without"),
        ],
        inferred=[
            *named(undecided, "task", "no decision"),
            *named(unregistered, "decision", "no register"),
        ],
        unseen=[*unwhole(history), *([] if decisions else ["no decision was read back"])],
        passed=f"{len(decisions):,} decisions, each its task's register, {cut:,} of them cut.",
    )


def _unheard(history: History) -> list[str]:
    """Tasks that a hub took for ones that nobody asks anything for, and that had been asked for before."""
    first: dict[str, int] = {}
    for request in history.of(Requested):
        first[request.task] = min(request.seq, first.get(request.task, request.seq))
    return [
        made.task
        for made in history.of(Decided)
        if made.reason == UNREQUESTED and first.get(made.task, made.seq) < made.seq
    ]


Mine = Callable[[Requested, str], bool]
"""Whether a request is by a spoke that has the task, given the class of that."""


def of_class(has: Mapping[str, str]) -> Mine:
    """Where each class has its spoke."""
    return lambda request, job: has.get(job) == request.agent


def as_given(history: History) -> Mine:
    """Where tasks are given to spokes by name: one that was given it before, in the log's order."""
    first: dict[tuple[str, str], int] = {}
    for gift in history.of(Gift):
        first[gift.task, gift.to] = min(gift.seq, first.get((gift.task, gift.to), gift.seq))
    return lambda request, job: first.get((request.task, request.agent), request.seq) < request.seq


def ledger_as_replayed(case: Case, mine: Mine) -> Finding:
    """E1: the harness, given the requests in the log's order, comes to each decision and the ledger."""
    history = case.history
    bound = history.spec.get("exposure_max")
    if not history.of(Requested) or not isinstance(bound, int):
        return unknown("no request was read back" if isinstance(bound, int) else "the bound is not known")
    if history.venue is None or not history.venue.fills:
        idle = nothing_intended(case.tally)
        return unexercised(case, idle) if idle else unknown(history.unwitnessed or "nothing was filled")
    if gone := unwhole(history):
        return unknown(*gone)  # what is left of the log accounts for a part of the ledger only
    decisions = {made.task: made for made in reversed(history.of(Decided))}
    asked = _to_be_decided(history, decisions, mine)
    expected = {made.task: made for made in replay.decisions(asked, bound=bound)}
    unasked = [task for task, made in decisions.items() if made.request and task not in expected]
    wrong = [
        f"{task} (request {made.request})"
        for task, made in decisions.items()
        if (due := expected.get(task)) is not None and not _is_as_expected(made, due)
    ]
    rows = {row[0]: row for row in replay.ledger(expected.values())}
    found = Balance(
        shown=[
            *named(wrong, "decision", "another content than its request demands"),
            *named(unasked, "decision", "no request that it could answer"),
            *_otherwise_asked(history),
            *_beyond(decisions.values(), bound),
        ],
        inferred=[
            *_otherwise_held(history, list(expected.values())),
            *beyond(history, moves(history, orders(history)), bound),
            *unoffered(history),
        ],
        passed=f"{len(expected):,} decisions as replayed from the requests of the log.",
    )
    # While it had not drained, hub and gateway went on after the log was read.
    later = history.venue.fills if undrained(history) else ()
    return (found + differences(case, rows, later, rows)).decided(case)


def _beyond(decided: Iterable[Decided], bound: int) -> list[str]:
    """Decisions after which more of a symbol is held than the bound allows.

    Counted by their effects alone, of decisions without a request as well, which no replay knows of.
    """
    held: Counter[str] = Counter()
    beyond: dict[str, None] = {}
    for made in sorted(decided, key=lambda made: made.seq):
        for order in map(replay.order_in, made.effects):
            if order is not None:
                held[order.symbol] += order.moves
                if abs(held[order.symbol]) > bound:
                    beyond[made.task] = None
    return named(list(beyond), "decision", f"more than {bound} of its symbol held after it")


def orders(history: History) -> dict[str, replay.Wanted]:
    """Each order that was decided, by its id."""
    return {
        effect_id(made.task, index): order
        for made in history.of(Decided)
        for index, effect in enumerate(made.effects)
        if made.status == "ok" and (order := replay.order_in(effect)) is not None
    }


def _to_be_decided(history: History, decisions: Mapping[str, Decided], mine: Mine) -> list[replay.Requested]:
    """The first request of each task that was decided on one, by a spoke that has it."""
    jobs = {register.task: register.job for register in history.registers}
    first: dict[str, replay.Requested] = {}
    for request in sorted(history.of(Requested), key=lambda request: request.seq):
        made, job = decisions.get(request.task), jobs.get(request.task, "")
        if made is None or not made.request or request.task in first:
            continue
        if job == FLATTEN or mine(request, job):
            first[request.task] = replay.Requested(
                request.seq,
                request.task,
                request.type == "ok" and request.status == "ok",
                request.effects,
                request.reduce_only or job == FLATTEN,
            )
    return list(first.values())


def _is_as_expected(made: Decided, due: replay.Expected) -> bool:
    same = (made.request, made.status == "ok", made.reduces) == (due.request, due.ok, due.reduces)
    return same and due.allows(made.effects)


def _otherwise_asked(history: History) -> list[str]:
    """Requests for something else than the input of their tasks demands, where that can be computed."""
    if not is_computed(history):
        return []
    demanded = computed(history)
    wrong = []
    for request in history.of(Requested):
        rows = demanded.get(request.task)
        asked = replay.rows(request.task, map(replay.order_in, request.effects))
        if request.status == "ok" and rows is not None and asked != rows:
            wrong.append(request.task)
    return named(wrong, "request", "another order than its input demands")


def _otherwise_held(history: History, expected: Sequence[replay.Expected]) -> list[str]:
    """Whether the hub's last snapshot holds other positions; it covers all decisions once all is drained."""
    last = next(iter(history.of(Snapshot)[-1:]), None)
    if last is None or not expected or undrained(history) or last.decided != len(history.of(Decided)):
        return []
    held = dict(expected[-1].positions)
    return [] if last.positions == held else [f"the hub's snapshot holds {last.positions}, the replay {held}"]
