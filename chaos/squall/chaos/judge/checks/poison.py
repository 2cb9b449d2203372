"""What becomes of poison: tasks that kill whoever works on them, and of no others. Pure."""

from __future__ import annotations

from squall.chaos.evidence.model import History
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.accounts import Balance
from squall.chaos.judge.decide import Finding, named, tasks, unknown
from squall.chaos.plan.poison import is_poison, is_poisoned


def containment(case: Case) -> Finding:
    """Nothing but poison is dead-lettered, and poison is after exactly its attempts."""
    history = case.history
    if not history.submissions and not history.registers:
        return unknown("nothing was submitted")
    return contained(history).decided(case)


def contained(history: History) -> Balance:
    """What is wrong with the dead letters. Where no poison is offered, nothing may be dead-lettered."""
    offered = poison_of(history)
    dead = sorted((r for r in history.registers if r.status == "dead"), key=lambda r: r.stored_s)
    innocent = [register for register in dead if register.task not in offered]
    cancelled = [register.task for register in history.registers if register.status == "cancelled"]
    shown = named(cancelled, "task", "been cancelled, which nobody asked for")
    if innocent:
        reason = innocent[0].reason or "no reason given"
        shown.append(f"{tasks(len(innocent))} dead-lettered, the first {innocent[0].task}: {reason}")
    ended = [r for r in history.registers if r.task in offered and r.status == "ok"]
    shown += named([register.task for register in ended], "poison task", "a result")
    attempts = history.asked.attempts
    early = [r.task for r in dead if r.task in offered and r.attempt != attempts]
    shown += named(early, "poison task", f"ended after other than {attempts} attempts")
    known = {register.task for register in dead}
    orphans = [task for task in history.dead_letters if task not in known]
    unlettered = [task for task in known if task not in set(history.dead_letters)]
    inferred = [
        *named(orphans, "dead letter", "no register that says so"),
        *named(unlettered, "dead task", "no dead letter"),
    ]
    unseen = ["no poison was accepted"] if is_poisoned(history.asked.handler) and not offered else []
    passed = f"No dead letters among {len(history.registers):,} registers."
    if offered:
        passed = (
            f"{tasks(len(dead))} dead-lettered, each poison, after {attempts} attempts; "
            f"the other {len(history.registers) - len(dead):,} ended well."
        )
    return Balance(shown=shown, inferred=inferred, unseen=unseen, passed=passed)


def poison_of(history: History) -> set[str]:
    """The accepted tasks that are poison."""
    if not is_poisoned(history.asked.handler):
        return set()
    return {
        task for task, offer in history.submissions.items() if offer.outcome != "refused" and is_poison(task)
    }
