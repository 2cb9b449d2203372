"""Everything that may die or freeze does, several times under load, and the ledger is the oracle's."""

from __future__ import annotations

import random
import signal
import time
from typing import Any

import pytest

pytestmark = [pytest.mark.nats, pytest.mark.slow, pytest.mark.timeout(600)]

SPEC = {
    "pattern": "hierarchical",
    "rate_per_s": 200,
    "ack_wait_s": 1.5,
    "lease_s": 1.0,
    "pause_leader": False,
}
TASKS_A_ROUND = 4500
"""Longer than its shots take."""

FROZEN_S = 2.5
"""Longer than the ack wait and the lease."""


SHOTS = {
    "kill": ("agent", "gateway", "leader", "broker"),
    "freeze": ("agent", "leader", "everybody"),
}
"""What is dispatched while everybody is frozen who could finish it finishes under the next term."""


def shoot(run: Any, seed: int, rounds: int) -> None:
    """Rounds of every shot, in an order drawn from the seed, each with work in between."""
    chance = random.Random(f"{seed}/shots")
    for _ in range(rounds):
        shots = [(what, role) for what, roles in SHOTS.items() for role in roles]
        chance.shuffle(shots)
        for what, role in shots:
            before = len(run.lines("commit"))
            nodes = targets(run, role, chance)
            if what == "kill":
                for node in nodes:
                    run.signal(node, signal.SIGKILL)
            else:
                freeze(run, nodes)
            run.wait_for(
                lambda past=before: len(run.lines("commit")) > past + 50, f"work after {what} {role}"
            )


def freeze(run: Any, nodes: list[str]) -> None:
    """Let nodes stand still for a while; the last, who leads, once it has dispatched to the others."""
    *others, last = nodes
    for node in others:
        run.signal(node, signal.SIGSTOP)
    if others:
        # The first line may still be of what somebody had taken before. With the window full there is none.
        dispatched, full_s = len(run.lines("dispatch")), time.monotonic() + 1.0
        run.wait_for(
            lambda: len(run.lines("dispatch")) > dispatched + 1 or time.monotonic() > full_s,
            "a dispatch to the frozen",
        )
    run.signal(last, signal.SIGSTOP)
    thaw_s = time.monotonic() + FROZEN_S
    run.wait_for(lambda: time.monotonic() > thaw_s, "the end of a freeze")
    for node in nodes:
        run.signal(node, signal.SIGCONT)


def targets(run: Any, role: str, chance: random.Random) -> list[str]:
    """The nodes that a role means now."""
    agents = [f"agent-{number}" for number in range(1, 5)]
    if role == "agent":
        return [chance.choice(agents)]
    if role == "leader":
        return [leader(run)]
    return [*agents, leader(run)] if role == "everybody" else [role]


def leader(run: Any) -> str:
    """Who took over last, and has not ended since."""

    def reigning() -> str | None:
        nodes = run.nodes()
        last = next(reversed(run.lines("lead")), None)
        return last["node"] if last and nodes[last["node"]]["incarnation"] == last["inc"] else None

    return str(run.wait_for(reigning, "a leader"))


@pytest.mark.everything  # the series that is run always strikes as much, and verifies it
@pytest.mark.parametrize(("seed", "rounds"), [(1, 1), (2, 4)])
def test_nothing_is_lost_doubled_or_changed_whatever_is_shot(
    squall_run: Any, oracle_of: Any, seed: int, rounds: int
) -> None:
    tasks = rounds * TASKS_A_ROUND
    spec = {**SPEC, "seed": seed, "tasks": tasks}
    run = squall_run(spec)
    run.wait_for(lambda: len(run.lines("commit")) > 100, "work")
    shoot(run, seed, rounds)
    document = run.end()
    assert (document["offered"], document["accepted"]) == (tasks, tasks)
    assert (document["lost"], document["duplicated"], document["conflicting"]) == (0, 0, 0)
    assert document["dead_letters"] == 0
    assert document["refused_writes"] >= 1, "no zombie coordinator tried to write"
    assert document["duplicates_suppressed"] >= 1, "no late commit and no repeat was suppressed"
    checks = {check["id"]: check for check in document["checks"]}
    for name in ("H1", "H2", "H5"):
        assert checks[name]["verdict"] == "pass", checks[name]
    assert checks["H4"]["verdict"] != "fail", checks["H4"]
    assert checks["U1"]["verdict"] == "fail", "whoever shot at them left no reason on record"
    assert run.ledger() == oracle_of(spec)
    leads = run.lines("lead")
    assert len(leads) >= 3
    assert [line["term"] for line in leads] == sorted(line["term"] for line in leads)
    registers = [line for line in run.lines("final") if line.get("what") == "register"]
    crossed = [
        register["task"]
        for register in registers
        for lead in leads
        if lead["term"] > register["term"] and lead["time_s"] < register["time_s_stored"]
    ]
    assert crossed, "no task was dispatched under one term and finished under the next"
