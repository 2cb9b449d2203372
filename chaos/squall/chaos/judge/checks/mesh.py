"""What must hold of equal peers that vote: M1 to M6, and that the log explains the ledger. Pure."""

from __future__ import annotations

from squall.chaos.evidence.operations import Leave
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.accounts import balance, effects
from squall.chaos.judge.checks.explained import EXPLAINED
from squall.chaos.judge.checks.ledger import LEDGER
from squall.chaos.judge.checks.memory import MEMORY
from squall.chaos.judge.checks.reconnecting import RECONNECTING
from squall.chaos.judge.checks.recovery import AS_BEFORE, EACH_RECOVERY, RECOVERY
from squall.chaos.judge.checks.repeats import REPEATS
from squall.chaos.judge.decide import Finding, unknown
from squall.chaos.judge.promise import DELIVERING, Promise, Promises
from squall.chaos.plan.series import EXPERIMENT


def one_effect(case: Case) -> Finding:
    """M5: each accepted task has one register, each intent one fill, whoever was killed in between."""
    history = case.history
    if not history.submissions and not history.registers:
        return unknown("nothing was submitted")
    return (balance(case) + effects(case)).decided(case)


PROMISES = Promises(
    pattern="mesh",
    promises=(
        Promise(
            id="M5",
            name="one-effect",
            text="What was approved is carried out once, and nothing else is.",
            check=one_effect,
            exercised="duplicates_suppressed",
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
    operations={"leave": Leave},
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
    experiment={**EXPERIMENT, "strike_peers": False},
)
