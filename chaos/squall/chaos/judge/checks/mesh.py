"""What must hold of equal peers that vote: M1 to M6, and that the log explains the ledger. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Leave
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.accounts import Balance, balance, effects
from squall.chaos.judge.checks.ledger import LEDGER
from squall.chaos.judge.checks.mesh_tracks import tracks
from squall.chaos.judge.checks.minority import minority_stalls
from squall.chaos.judge.checks.of_all import OF_ALL
from squall.chaos.judge.checks.poison import letters, poison_of
from squall.chaos.judge.checks.vote_log import (
    OPERATIONS,
    DecisionRead,
    EpochRead,
    Recount,
    Seen,
    recount,
)
from squall.chaos.judge.decide import Finding, decide, named, some, tasks, undrained, unknown
from squall.chaos.judge.mistakes import is_spent_by_a_voter
from squall.chaos.judge.promise import DELIVERING, Promise, Promises
from squall.chaos.judge.votes import Ruling
from squall.chaos.plan.poison import is_poisoned
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.plan.series import EXPERIMENT, Plan, outage, poison, tail, varied_run
from squall.chaos.plan.surface import surface_of
from squall.chaos.plan.varied import LARGE_BYTES
from squall.services.run.spec import Spec

OPEN_S = 5.0
"""How long after the last heal a proposal may still be open."""

LATE_S = 1.0
"""How much longer than its deadline a proposal may be open that nothing disturbed."""

RATE_PER_S = 25.0
"""The load of an experiment: five peers consider each task, and two cores are to have time left."""

UNHURRIED_PER_S = 15.0
"""The load where handlers take their time: each peer has every task handled."""

PATIENT_S = 3.0
"""How long a proposal waits for votes where handlers fail at first, and are tried again."""

POISON_S = 10.0
POISONED = {"agents": 3, "rate_per_s": 20.0, "attempts": 2}
"""For how long poison is offered, and how: it kills every peer, each time that one of them looks at it."""

MEMBERS_S = 15.0
MEMBERS = (
    Interval(fault="crash", target="registrar", at_s=0.0, point="registrar.asked"),
    Interval(fault="leave", target="any-agent", at_s=0.3, for_s=1.0),
    Interval(fault="crash", target="any-agent", at_s=1.0, point="agent.committed", nth=2),
    Interval(fault="crash", target="registrar", at_s=2.5, point="registrar.written"),
    Interval(fault="leave", target="minority", at_s=2.8, for_s=1.5),
    Interval(fault="blackhole-nofin", target="minority", at_s=5.5, for_s=3.0),
)
"""One or some leave, and come back, while whoever writes that down dies over it; then two of five are cut
off for long."""

STALL_AT_S, STALL_S = 11.0, 6.0
"""When, after that, so many are cut off that those that are left decide nothing, and for how long."""

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
        if not _agrees(found, seen) and not found.is_forgotten(seen.task)
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
        inferred=[
            *([f"{len(different)} counts differ from the log: {some(different)}"] if different else []),
            *named(wrong, "task", "a register that its votes do not bear out"),
            *([] if undrained(history) else named(untold, "proposal", "no record of its decision")),
        ],
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
        inferred=[
            *named(unproven, "task", "a register ok without a quorum of yes"),
            *([f"{len(wrong)} decisions that the log does not bear out: {some(wrong)}"] if wrong else []),
        ],
        passed=f"{len(approved):,} approved, each by a quorum of its epoch, with {votes:,} yes in all.",
    )


def _weight(ruling: Ruling) -> int:
    return sum(ruling.epoch.weights[peer] for peer in set(ruling.yes))


def termination(case: Case) -> Finding:
    """M4: what nothing disturbs is decided by its deadline and a second; after healing nothing stays open."""
    history = case.history
    found = recount(history)
    if not found.every:
        return unknown("no proposal was read back")
    deadline_s = history.spec.get("deadline_s")
    limit_s = (float(deadline_s) if isinstance(deadline_s, int | float) else 0.0) + LATE_S
    # Where tasks kill peers, something is amiss all the time.
    settled = [] if is_poisoned(history.asked.handler) else [r for r in found.every if r.outcome]
    calm = [r for r in settled if not _is_disturbed(history, r)]
    slow = [r for r in calm if r.at_s - r.proposal.stored_s > limit_s]
    healed_s = max((f.healed_s or f.end_s or f.start_s for f in history.faults), default=0.0)
    stuck = [
        r.proposal.task for r in settled if r.at_s - max(healed_s, r.proposal.stored_s) > max(OPEN_S, limit_s)
    ]
    open_ = [r.proposal.task for r in found.every if not r.outcome]
    shares = sorted(r.at_s - r.proposal.stored_s for r in calm)
    p99_s = shares[int(0.99 * (len(shares) - 1))] if shares else 0.0
    late = named(stuck, "proposal", "been open for too long after all was healed")
    if len(slow) > 0.01 * len(calm):
        late.insert(0, f"{len(slow)} of {len(calm)} undisturbed proposals took longer than {limit_s:g} s")
    if late and case.busy:
        return unknown(case.busy, *late)
    never = [] if undrained(history) else named(open_, "task", "a proposal that was never decided")
    return decide(
        case,
        inferred=[*late, *never],  # a fault that no line tells of would excuse what was slow
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
    accounts = balance(case) + effects(case) + given_up(case)
    changed = [
        register.task
        for register in history.registers
        if register.status == "ok"
        and (final := found.final(register.task)) is not None
        and len(register.effects) != len(final.proposal.effects)
    ]
    told_s = {
        told.task: told.stored_s  # of several the first
        for told in reversed(found.decisions)
        if found.of(told.task, told.attempt) is found.final(told.task) and _is_told_rightly(found, told)
    }
    early = [r.task for r in history.registers if r.task in told_s and r.stored_s < told_s[r.task]]
    withheld = [
        refusal.task
        for refusal in history.refusals
        if refusal.what == "unapproved"
        and (final := found.final(refusal.task)) is not None
        and final.outcome == "approve"
    ]
    accounts.inferred.extend(named(withheld, "task", "been approved, and its effects refused"))
    accounts.inferred.extend(named(changed, "task", "other effects than were approved"))
    accounts.inferred.extend(named(early, "task", "been carried out before its decision was recorded"))
    return accounts.decided(case)


def given_up(case: Case) -> Balance:
    """What is wrong with what is dead: nothing is but poison, and what the user's own handler failed with.

    A peer whose last attempt, made alone, was cut off by a fault cannot know that it did not die of the task.
    That a task was cancelled is what its votes came to, or that they came too late; see `agreement`.
    """
    history, poison = case.history, poison_of(case.history)
    dead = [register for register in history.registers if register.status == "dead"]
    others = [register for register in dead if register.task not in poison | case.mistakes.dead]
    innocent = [register.task for register in others if not is_spent_by_a_voter(history, register)]
    spent = len(others) - len(innocent)
    ended = [r.task for r in history.registers if r.task in poison and r.status == "ok"]
    accounts = letters(history)
    is_missing = is_poisoned(history.asked.handler) and not poison
    passed = f"{tasks(len(dead))} dead, each with its letter." if dead else ""
    if spent:
        passed += f" Of {tasks(spent)} a fault cut off the last attempt of who proposed so."
    return Balance(
        shown=[
            *accounts.shown,
            *named(innocent, "task", "been given up as dead, and is no poison"),
            *named(ended, "poison task", "a result"),
        ],
        inferred=accounts.inferred,
        unseen=["no poison was accepted"] if is_missing else [],
        passed=passed,
    )


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
        inferred=[
            *([f"votes of no members counted: {some(strangers)}"] if strangers else []),
            *named(mixed, "decision", "another epoch than its proposal"),
            *([] if numbers == [*range(1, len(numbers) + 1)] else [f"epochs are numbered {numbers[:5]}"]),
        ],
        passed=f"{len(found.epochs)} epochs; {crossed:,} proposals were open across a change.",
    )


def runs(spec: Spec, seed: int) -> Sequence[Plan]:
    """Poison; a struck tail; handlers that do all they may; an outage; and members that come and go."""
    members = Schedule(seed=seed, quiet_s=MEMBERS_S, intervals=(*MEMBERS, *stalled(surface_of(spec).agents)))
    return (
        poison(spec, seed, quiet_s=POISON_S, **POISONED),
        tail(spec, seed, rate_per_s=UNHURRIED_PER_S),
        varied_run(spec, seed, rate_per_s=UNHURRIED_PER_S, deadline_s=PATIENT_S),
        outage(spec, seed),
        Plan("members", replace(spec, seed=seed), members),
    )


def stalled(peers: Sequence[str]) -> tuple[Interval, ...]:
    """So many are cut off that there is no quorum; of the others one dies as it closes, and one sleeps."""
    left = len(peers) // 2
    closing = Interval(fault="crash", target=peers[-1], at_s=STALL_AT_S, point="agent.closing")
    closed = Interval(
        fault="pause", target=peers[-left], at_s=STALL_AT_S + 0.5, for_s=1.0, point="agent.closed"
    )
    return (
        *(
            Interval(fault="blackhole-nofin", target=peer, at_s=STALL_AT_S, for_s=STALL_S)
            for peer in peers[:-left]
        ),
        closing,
        closed,
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
        *OF_ALL,
    ),
    operations={"leave": Leave, **OPERATIONS},
    tracks=tracks,
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
    experiment={
        **EXPERIMENT,
        "rate_per_s": RATE_PER_S,
        "strike_peers": False,
        "result_bytes_max": 2 * LARGE_BYTES,  # what the handlers of one of the runs return
    },
    runs=runs,
)
