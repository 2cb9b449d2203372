"""M3: who is cut off writes nothing that counts, and without a quorum nothing is decided. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from squall.chaos.evidence.facts import Injected
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.vote_log import (
    CloseRead,
    DecisionRead,
    ProposalRead,
    Recount,
    VoteRead,
    recount,
)
from squall.chaos.judge.decide import Finding, decide, named, some, unexercised
from squall.chaos.judge.votes import Ruling
from squall.chaos.plan.kinds import KINDS
from squall.services.patterns.pattern import AGENT

CUT_S = 1.0
"""After a cut was made: what had left the node by then is stored."""

HEALING_S = 0.5
"""How long before a cut is noted as ended it may have been, where nobody noted when its end began: what was
held back arrives then."""


ROUNDED_S = 1e-6
"""What rounding makes of a time in seconds since the epoch, of which two that are the same may differ."""


def minority_stalls(case: Case) -> Finding:
    """M3: who is cut off writes nothing into the log, and while no quorum is left nothing is decided."""
    history = case.history
    cuts = [fault for fault in history.faults if _silenced(fault)]
    if not cuts:
        return unexercised(case, "no peer was cut off")
    found = recount(history)
    records = [
        *((p.agent, p.stored_s) for p in history.of(ProposalRead)),
        *((v.agent, v.stored_s) for v in history.of(VoteRead)),
        *((c.agent, c.stored_s) for c in history.of(CloseRead)),
        *((d.agent, d.stored_s) for d in history.of(DecisionRead)),
    ]
    heard = [
        f"{agent} while {fault.kind} was in force"
        for fault in cuts
        for agent, stored_s in records
        if fault.node == agent and _begins_s(fault) < stored_s < _ends_s(fault)
    ]
    alone = [
        f"{r.proposal.task} attempt {r.proposal.attempt}"
        for r in found.every
        if r.outcome in ("approve", "reject") and _is_stalled(r, cuts)
    ]
    stalls = sum(_left(found, _begins_s(fault), cuts) for fault in cuts)
    return decide(
        case,
        shown=[f"{len(heard)} records of who was cut off: {some(sorted({*heard}))}"] if heard else [],
        inferred=named(alone, "proposal", "a decision while no quorum was left"),
        passed=f"{len(cuts)} cuts of peers, {stalls} of them left no quorum; none that was cut off wrote.",
    )


def _silenced(fault: Injected) -> bool:
    kind = KINDS.get(fault.kind)
    # Of one whose end no line tells it is not known for how long it was in force.
    is_silent = kind is not None and kind.silences and fault.verified and fault.end_s is not None
    return is_silent and (fault.node or "").startswith(f"{AGENT}-")


def _begins_s(fault: Injected) -> float:
    return (fault.acknowledged_s or fault.start_s) + CUT_S


def _ends_s(fault: Injected) -> float:
    if fault.held_s is not None:
        return fault.held_s - ROUNDED_S
    return fault.end_s - HEALING_S if fault.end_s is not None else float("inf")


def _is_stalled(ruling: Ruling, cuts: Sequence[Injected]) -> bool:
    """Whether a decision fell while too few members were left to decide."""
    away = {f.node for f in cuts if _begins_s(f) < ruling.at_s < _ends_s(f)}
    left = sum(weight for peer, weight in ruling.epoch.weights.items() if peer not in away)
    # What was voted before the cut counts, also if the last vote of those that are left came after it.
    return left < ruling.epoch.needed and ruling.proposal.stored_s > max(
        (_begins_s(f) for f in cuts if f.node in away), default=0.0
    )


def _left(found: Recount, at_s: float, cuts: Sequence[Injected]) -> bool:
    """Whether no quorum was left at a time."""
    if not found.epochs:
        return False
    epoch = found.epochs[-1]
    away = {f.node for f in cuts if _begins_s(f) <= at_s < _ends_s(f)}
    return sum(w for peer, w in epoch.weights.items() if peer not in away) < epoch.needed
