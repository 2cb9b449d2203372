"""What a fan-out promises. F1 is its own; the others are what every pattern can promise."""

from __future__ import annotations

from squall.chaos.evidence.facts import Operation
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.accounts import balance, one_effect
from squall.chaos.judge.checks.explained import EXPLAINED
from squall.chaos.judge.checks.ledger import LEDGER
from squall.chaos.judge.checks.recovery import RECOVERY
from squall.chaos.judge.decide import Finding, decide, named
from squall.chaos.judge.promise import Promise, Promises
from squall.chaos.plan.series import EXPERIMENT


class Commit(Operation, frozen=True, kw_only=True):
    """An agent's answer to a task: ``ok`` if it was the first, ``fail`` if one was there already."""

    task: str
    reason: str = ""


def first_answer(case: Case) -> Finding:
    """F1: each accepted task has one register, that of the first answer; later answers were refused."""
    accounts, answers = balance(case), case.history.of(Commit)
    first: dict[str, list[str]] = {}
    for answer in answers:
        if answer.type == "ok":
            first.setdefault(answer.task, []).append(answer.node)
    several = [task for task, agents in first.items() if len(agents) > 1]
    others = [task for task, r in case.tally.registers.items() if r.agent not in first.get(task, [r.agent])]
    beaten = sum(a.reason == "already" and a.node not in first.get(a.task, ()) for a in answers)
    return decide(
        case,
        shown=[
            *accounts.shown,
            *named(several, "task", "several answers that were told they are the first"),
            *named(others, "task", "a register that is not its first answer"),
        ],
        inferred=accounts.inferred,
        unseen=[*accounts.unseen, *([] if beaten else ["no second answer was refused"])],
        passed=f"{accounts.passed} {beaten:,} later answers were refused.",
        idle=accounts.idle,
    )


PROMISES = Promises(
    pattern="fan-out",
    promises=(
        Promise(
            id="F1",
            name="first-answer",
            text="Each accepted task has one register, that of the first answer; later answers are refused.",
            check=first_answer,
            exercised="duplicates_suppressed",
        ),
        Promise(
            id="F2",
            name="one-effect",
            text="Nothing is filled twice, without intent, or with two bodies.",
            check=one_effect,
        ),
        LEDGER,
        RECOVERY,
        EXPLAINED,
    ),
    operations={"commit": Commit},
    experiment={**EXPERIMENT, "ingress_max": 3000},  # so far may an agent lag before it holds up the others
    to_an_effect=("agent.executed", "agent.committed", "gateway.filled"),
)
