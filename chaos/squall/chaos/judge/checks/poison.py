"""What becomes of poison: tasks that kill whoever works on them, and of no others. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from squall.chaos.evidence.facts import Register
from squall.chaos.evidence.model import History
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.accounts import Balance
from squall.chaos.judge.decide import Finding, named, tasks, unknown
from squall.chaos.judge.mistakes import HoldUps, counted, is_spent
from squall.chaos.plan.poison import is_poison, is_poisoned

FEWER_MIN = 3
"""Of so few tasks nothing follows from how often they were begun."""


def containment(case: Case) -> Finding:
    """Nothing but poison is dead-lettered, and poison is after exactly its attempts."""
    history = case.history
    if not history.submissions and not history.registers:
        return unknown("nothing was submitted")
    return contained(case).decided(case)


def contained(
    case: Case,
    spent_elsewhere: Collection[str] = (),
    anew: Collection[tuple[str, float]] = (),
    shed: Collection[str] = (),
) -> Balance:
    """What is wrong with the dead letters.

    Where no poison is offered, nothing may be dead-lettered but what the user's own handler failed with, and
    was seen to; whether that is right is not the swarm's to answer for.

    Args:
        spent_elsewhere: Dead tasks whose attempts were used up by faults, before anybody that this looks at
            had them.
        anew: Agents whose consumer was made anew, and when; see `counted`.
        shed: Dead tasks that were ended unrun, as they were to be.
    """
    history, failed = case.history, case.mistakes.dead
    offered = poison_of(history)
    unrun = [r for r in history.registers if r.status == "dead" and r.task in shed]
    dead = [r for r in history.registers if r.status == "dead" and r.task not in shed]
    dead.sort(key=lambda r: r.stored_s)
    others = [register for register in dead if register.task not in offered | failed]
    spent = [r for r in others if r.task in spent_elsewhere or is_spent(history, r)]
    innocent = [register for register in others if register not in spent]
    cancelled = [register.task for register in history.registers if register.status == "cancelled"]
    shown = named(cancelled, "task", "been cancelled, which nobody asked for")
    if innocent:
        reason = innocent[0].reason or "no reason given"
        which = f"{tasks(len(innocent))}{' that are no poison' if offered else ''}"
        shown.append(f"{which} dead-lettered, the first {innocent[0].task}: {reason}")
    ended = [r for r in history.registers if r.task in offered and r.status == "ok"]
    shown += named([register.task for register in ended], "poison task", "a result")
    attempts = history.asked.attempts
    tried = [r for r in dead if r.task in offered and r.task not in spent_elsewhere]
    early = [r.task for r in tried if r.attempt != attempts]
    shown += named(early, "poison task", f"ended after other than {attempts} attempts")
    begun = {r.task: len(counted(history, r.task, anew)) for r in tried}
    more, fewer = _miscounted(begun, attempts or 0)
    hold_ups = HoldUps(history)
    often = [
        r.task
        for r in dead
        if r.task in failed
        and len(runs := counted(history, r.task, anew)) - hold_ups.repeats(runs) > (attempts or 0)
    ]
    more += named(often, "failed task", f"been begun more than {attempts} times")
    shown += more
    accounts = letters(history)
    shown += accounts.shown
    inferred = [*fewer, *accounts.inferred]
    unseen = ["no poison was accepted"] if is_poisoned(history.asked.handler) and not offered else []
    passed = f"No dead letters among {len(history.registers):,} registers."
    rest = f"the other {len(history.registers) - len(dead) - len(unrun):,} ended well."
    if failed:
        what = "each failed by its handler in every attempt that ended"
        passed = f"{tasks(len(dead) - len(spent))} dead-lettered, {what}; {rest}"
    if offered:
        what = f"given up after {attempts} attempts, of which {_span(begun.values())} were begun"
        passed = f"{tasks(len(dead) - len(spent))} dead-lettered, each poison, {what}; {rest}"
    if spent:
        cut_off = "was cut off by what was done to its agent or the broker"
        what = f"as each of its {attempts} attempts failed, or {cut_off}"
        said = f"{tasks(len(spent))} dead-lettered, {what}"
        passed = f"{said}. {passed}" if failed or offered else f"{said}; {rest}"
    if unrun:
        passed = f"{tasks(len(unrun))} shed, as too many waited. {passed}"
    return Balance(shown=shown, inferred=inferred, unseen=unseen, passed=passed)


def letters(history: History) -> Balance:
    """What is wrong with the dead letters beside the registers that say dead: one each, of the same."""
    dead = [register for register in history.registers if register.status == "dead"]
    known = {register.task for register in dead}
    lettered = {letter.task for letter in history.dead_letters}
    orphans = [task for task in lettered if task not in known]
    unlettered = [task for task in known if task not in lettered]
    return Balance(
        shown=_misinformed(history, dead),
        inferred=[
            *named(orphans, "dead letter", "no register that says so"),
            *named(unlettered, "dead task", "no dead letter"),
        ],
    )


def _miscounted(begun: Mapping[str, int], attempts: int) -> tuple[list[str], list[str]]:
    """Poison that was begun too often; and poison that was begun too seldom, by the lines of who began it.

    The first attempt is counted by its delivery, so one that a dying agent had not begun yet counts as well:
    of some tasks one attempt less is begun, but not of most.
    """
    more = [task for task, times in begun.items() if times > attempts]
    fewer = [task for task, times in begun.items() if times < attempts]
    seldom = named(fewer, "poison task", f"been begun fewer than {attempts} times")
    return (
        named(more, "poison task", f"been begun more than {attempts} times"),
        seldom if _are_most(fewer, begun) else [],
    )


def _misinformed(history: History, dead: Sequence[Register]) -> list[str]:
    """Dead letters from which nobody could try the task again, or learn how it ended."""
    registers = {register.task: register for register in dead}
    read = [letter for letter in history.dead_letters if letter.of is not None]
    unlike, ends = [], []
    for letter in read:
        offer, register = history.submissions.get(letter.task), registers.get(letter.task)
        submitted = offer.input if offer is not None else None
        if letter.of != letter.task or submitted not in (None, letter.input):
            unlike.append(letter.task)
        if not letter.of or register is None:
            continue
        if any(getattr(letter, said) != getattr(register, said) for said in ("attempt", "agent", "reason")):
            ends.append(letter.task)
    return [
        *named(unlike, "dead letter", "another task or input than was submitted"),
        *named(ends, "dead letter", "another end than its register tells of"),
    ]


def _span(counts: Collection[int]) -> str:
    """``5``, or ``4 to 5``."""
    low, high = min(counts, default=0), max(counts, default=0)
    return str(high) if low == high else f"{low} to {high}"


def _are_most(fewer: Sequence[str], begun: Mapping[str, int]) -> bool:
    return len(fewer) >= FEWER_MIN and 2 * len(fewer) > len(begun)


def poison_of(history: History) -> set[str]:
    """The accepted tasks that are poison."""
    if not is_poisoned(history.asked.handler):
        return set()
    return {
        task for task, offer in history.submissions.items() if offer.outcome != "refused" and is_poison(task)
    }
