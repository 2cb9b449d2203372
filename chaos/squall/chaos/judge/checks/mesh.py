"""What must hold of equal peers that vote: M1 to M6, and that the log explains the ledger. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from squall.chaos.evidence.facts import Injected
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Leave
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.accounts import balance, effects
from squall.chaos.judge.checks.explained import EXPLAINED
from squall.chaos.judge.checks.ledger import LEDGER
from squall.chaos.judge.checks.memory import MEMORY
from squall.chaos.judge.checks.reconnecting import RECONNECTING
from squall.chaos.judge.checks.recovery import AS_BEFORE, EACH_RECOVERY, RECOVERY
from squall.chaos.judge.checks.repeats import REPEATS
from squall.chaos.judge.checks.vote_log import (
    OPERATIONS,
    CloseRead,
    DecisionRead,
    EpochRead,
    ProposalRead,
    Recount,
    Seen,
    VoteRead,
    recount,
)
from squall.chaos.judge.decide import Finding, decide, named, some, undrained, unexercised, unknown
from squall.chaos.judge.promise import DELIVERING, Promise, Promises
from squall.chaos.judge.votes import Ruling
from squall.chaos.plan.kinds import KINDS
from squall.chaos.plan.series import EXPERIMENT
from squall.services.patterns.pattern import AGENT

OPEN_S = 5.0
"""How long after the last heal a proposal may still be open."""

CUT_S = 1.0
"""After a cut was ordered: it is in force, and what had left the node by then is stored."""

HEALING_S = 0.5
"""How long before a cut is noted as ended it may have been: what was held back arrives as it ends."""

LATE_S = 1.0
"""How much longer than its deadline a proposal may be open that nothing disturbed."""

RATE_PER_S = 40.0
"""The load of an experiment: five peers consider each task, and two cores are to have time left."""

MORE_S = 2.0
"""How long what a fault did goes on: links are made anew, and what was missed is read."""


def agreement(case: Case) -> Finding:
    """M1: whoever counted a proposal came to what the log says, and so did each register."""
    history = case.history
    found = recount(history)
    if not found.rulings:
        return unknown("no log of votes was read back")
    different = [
        f"{seen.task} attempt {seen.attempt}: {seen.node} saw {seen.outcome} at {seen.at}"
        for seen in history.of(Seen)
        if not _agrees(found, seen)
    ]
    wrong = [
        register.task
        for register in history.registers
        if register.task in found.rulings and not _is_so_ended(found, register.task, register.status)
    ]
    told = {(d.task, d.attempt): d for d in reversed(found.decisions) if _is_told_rightly(found, d)}
    untold = [
        f"{r.proposal.task} attempt {r.proposal.attempt}"
        for r in found.every
        if r.outcome and (r.proposal.task, r.proposal.attempt) not in told
    ]
    return decide(
        case,
        shown=[
            *([f"{len(different)} counts differ from the log: {some(different)}"] if different else []),
            *named(wrong, "task", "a register that its votes do not bear out"),
        ],
        inferred=[] if undrained(history) else named(untold, "proposal", "no record of its decision"),
        passed=f"{len(history.of(Seen)):,} counts by peers, {len(found.decisions):,} records and "
        f"{len(history.registers):,} registers agree with the log on {len(found.every):,} proposals.",
    )


def _agrees(found: Recount, seen: Seen) -> bool:
    ruling = found.of(seen.task, seen.attempt)
    return ruling is not None and (ruling.outcome, ruling.at) == (seen.outcome, seen.at)


def _is_so_ended(found: Recount, task: str, status: str) -> bool:
    """Whether a register of this status is what the votes on its task came to."""
    final = found.final(task)
    if final is None:
        return False
    if final.outcome != "approve":
        return status == "cancelled"
    return status == ("dead" if final.proposal.dead else "ok")


def _is_told_rightly(found: Recount, told: DecisionRead) -> bool:
    ruling = found.of(told.task, told.attempt)
    return ruling is not None and _says(told, ruling)


def _says(told: DecisionRead, ruling: Ruling) -> bool:
    said = (told.outcome, told.at, told.proposal, told.epoch)
    return said == (ruling.outcome, ruling.at, ruling.proposal.seq, ruling.epoch.number)


def validity(case: Case) -> Finding:
    """M2: what was said to be approved had enough members' yes before it, each counted once."""
    found = recount(case.history)
    if not found.decisions:
        return unknown("no decision was read back")
    ok = {register.task for register in case.history.registers if register.status == "ok"}
    unproven = [
        task
        for task in sorted(ok & found.rulings.keys())
        if not any(r.outcome == "approve" and _weight(r) >= r.epoch.needed for r in found.rulings[task])
    ]
    wrong = [
        f"{told.task} attempt {told.attempt} by {told.agent}"
        for told in found.decisions
        if not _is_told_rightly(found, told)
    ]
    approved = [r for r in found.every if r.outcome == "approve"]
    votes = sum(len(r.yes) for r in approved)
    return decide(
        case,
        shown=[
            *named(unproven, "task", "a register ok without a quorum of yes"),
            *([f"{len(wrong)} decisions that the log does not bear out: {some(wrong)}"] if wrong else []),
        ],
        passed=f"{len(approved):,} approved, each by a quorum of its epoch, with {votes:,} yes in all.",
    )


def _weight(ruling: Ruling) -> int:
    return sum(ruling.epoch.weights[peer] for peer in set(ruling.yes))


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
        shown=[
            *([f"{len(heard)} records of who was cut off: {some(sorted({*heard}))}"] if heard else []),
            *named(alone, "proposal", "a decision while no quorum was left"),
        ],
        passed=f"{len(cuts)} cuts of peers, {stalls} of them left no quorum; none that was cut off wrote.",
    )


def _silenced(fault: Injected) -> bool:
    kind = KINDS.get(fault.kind)
    is_silent = kind is not None and kind.silences and fault.verified
    return is_silent and (fault.node or "").startswith(f"{AGENT}-")


def _begins_s(fault: Injected) -> float:
    return fault.start_s + CUT_S


def _ends_s(fault: Injected) -> float:
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


def termination(case: Case) -> Finding:
    """M4: what nothing disturbs is decided by its deadline and a second; after healing nothing stays open."""
    history = case.history
    found = recount(history)
    if not found.every:
        return unknown("no proposal was read back")
    deadline_s = history.spec.get("deadline_s")
    limit_s = (float(deadline_s) if isinstance(deadline_s, int | float) else 0.0) + LATE_S
    calm = [r for r in found.every if r.outcome and not _is_disturbed(history, r)]
    slow = [r for r in calm if r.at_s - r.proposal.stored_s > limit_s]
    healed_s = max((f.healed_s or f.end_s or f.start_s for f in history.faults), default=0.0)
    stuck = [
        r.proposal.task
        for r in found.every
        if r.outcome and r.at_s - max(healed_s, r.proposal.stored_s) > max(OPEN_S, limit_s)
    ]
    open_ = [r.proposal.task for r in found.every if not r.outcome]
    shares = sorted(r.at_s - r.proposal.stored_s for r in calm)
    p99_s = shares[int(0.99 * (len(shares) - 1))] if shares else 0.0
    return decide(
        case,
        late=[
            *(
                [f"{len(slow)} of {len(calm)} undisturbed proposals took longer than {limit_s:g} s"]
                if len(slow) > 0.01 * len(calm)
                else []
            ),
            *named(stuck, "proposal", "been open for too long after all was healed"),
        ],
        inferred=[] if undrained(history) else named(open_, "task", "a proposal that was never decided"),
        passed=f"{len(calm):,} undisturbed proposals, decided within {p99_s * 1e3:,.0f} ms (p99); "
        f"none left open.",
    )


def _is_disturbed(history: History, ruling: Ruling) -> bool:
    """Whether anything was on while a proposal was open, or shortly before."""
    return any(
        fault.start_s - LATE_S <= ruling.at_s
        and (fault.healed_s or fault.end_s or float("inf")) + MORE_S >= ruling.proposal.stored_s
        for fault in history.faults
    )


def one_effect(case: Case) -> Finding:
    """M5: each accepted task has one register, each intent one fill, and nothing but what was approved."""
    history = case.history
    if not history.submissions and not history.registers:
        return unknown("nothing was submitted")
    found = recount(history)
    accounts = balance(case) + effects(case)
    changed = [
        register.task
        for register in history.registers
        if register.status == "ok"
        and (final := found.final(register.task)) is not None
        and len(register.effects) != len(final.proposal.effects)
    ]
    accounts.shown.extend(named(changed, "task", "other effects than were approved"))
    return accounts.decided(case)


def epoch_safety(case: Case) -> Finding:
    """M6: each proposal is decided by members of its own epoch alone, whatever changed meanwhile."""
    found = recount(case.history)
    if not found.epochs:
        return unknown("no epoch was read back")
    strangers = [
        f"{r.proposal.task} by {peer}" for r in found.every for peer in r.yes if peer not in r.epoch.keys
    ]
    numbers = [epoch.epoch for epoch in case.history.of(EpochRead)]
    mixed = [
        f"{told.task} attempt {told.attempt}"
        for told in found.decisions
        if (ruling := found.of(told.task, told.attempt)) is not None and told.epoch != ruling.epoch.number
    ]
    crossed = sum(
        any(r.proposal.seq < epoch.seq < r.at for epoch in found.epochs) for r in found.every if r.outcome
    )
    return decide(
        case,
        shown=[
            *([f"votes of no members counted: {some(strangers)}"] if strangers else []),
            *named(mixed, "decision", "another epoch than its proposal"),
            *([] if numbers == [*range(1, len(numbers) + 1)] else [f"epochs are numbered {numbers[:5]}"]),
        ],
        passed=f"{len(found.epochs)} epochs; {crossed:,} proposals were open across a change.",
    )


PROMISES = Promises(
    pattern="mesh",
    promises=(
        Promise(
            id="M1",
            name="agreement",
            text="All peers, the log and the registers hold the same decision of each proposal.",
            check=agreement,
        ),
        Promise(
            id="M2",
            name="validity",
            text="What is approved has a quorum of its members' yes before it in the log, each counted once.",
            check=validity,
        ),
        Promise(
            id="M3",
            name="minority-stalls",
            text="Who is cut off decides nothing, and without a quorum nothing is decided.",
            check=minority_stalls,
            sometimes=True,
        ),
        Promise(
            id="M4",
            name="termination",
            text="Undisturbed proposals are decided within deadline + 1 s; none is open 5 s after healing.",
            check=termination,
        ),
        Promise(
            id="M5",
            name="one-effect",
            text="What was approved is carried out once, and nothing else is.",
            check=one_effect,
            exercised="duplicates_suppressed",
        ),
        Promise(
            id="M6",
            name="epoch-safety",
            text="No proposal is decided by votes of two epochs, whoever joins or leaves meanwhile.",
            check=epoch_safety,
        ),
        LEDGER,
        RECOVERY,
        EACH_RECOVERY,
        AS_BEFORE,
        RECONNECTING,
        EXPLAINED,
        REPEATS,
        MEMORY,
    ),
    operations={"leave": Leave, **OPERATIONS},
    to_an_effect=(
        "agent.executed",
        "agent.proposed",
        "agent.judged",
        "agent.voted",
        "agent.counted",
        "agent.told",
        "agent.delivered",
        "agent.committed",
        *DELIVERING,
    ),
    experiment={**EXPERIMENT, "rate_per_s": RATE_PER_S, "strike_peers": False},
)
