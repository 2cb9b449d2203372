"""H7: what is wrong with where tasks went, and for what they were given to somebody else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from squall.chaos.evidence.facts import Asked, Closing, Injected, NodeStart, Phase, Register
from squall.chaos.evidence.model import Execution, History
from squall.chaos.evidence.operations import Given
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.distribution import DISTRIBUTED, as_said, shares_alike
from squall.chaos.judge.checks.hub_log import Requested
from squall.chaos.judge.succession import succession
from squall.chaos.judge.tally import tally

T = 1_800_000_000.0
AGENTS = ("agent-1", "agent-2", "agent-3")
TASKS = 300


def history(
    spec: dict[str, Any],
    where: Callable[[int], str] = lambda n: AGENTS[n % 3],
    *,
    given: tuple[Given, ...] = (),
    requests: tuple[Requested, ...] = (),
    faults: tuple[Injected, ...] = (),
    twice: Callable[[int], bool] = lambda n: False,
) -> History:
    """300 tasks of 50 keys, one each 10 ms; who runs each, and which a second time half a second later."""
    runs = {
        f"t-{n}": [
            Execution(T + n / 100, where(n), 1, 1),
            *([Execution(T + n / 100 + 2.0, "agent-1", 1, 2)] if twice(n) else []),
        ]
        for n in range(TASKS)
    }
    registers = tuple(
        Register(
            task=task,
            key=f"k-{n % 50}",
            job=("momentum", "pairs")[n % 2],
            status="ok",
            stored_s=run[-1].time_s + 2.0,
            agent=run[0].node,
        )
        for n, (task, run) in enumerate(runs.items())
    )
    return History(
        asked=Asked(pattern="hierarchical", agents=3, slots=4, ack_wait_s=1.5),
        spec=spec,
        nodes=tuple(
            NodeStart(node=node, role=node[:-2], incarnation=1, started_s=T - 5)
            for node in (*AGENTS, "coordinator-1")
        ),
        faults=faults,
        phases=(Phase(time_s=T + 10, what="steady", seconds=11.0),),
        executions=runs,
        registers=registers,
        records={Given: given, Requested: requests},
        closing=Closing(registers=TASKS, drained=True, lines={}),
    )


def judged(found: History) -> tuple[str, str]:
    finding = as_said(Case(found, tally(found), (), succession(found, None)))
    return finding.verdict, finding.detail


def given(task: str, why: Any, at_s: float, frm: str = "agent-2", to: str = "agent-1") -> Given:
    return Given(time_s=T + at_s, node="coordinator-1", task=task, frm=frm, to=to, why=why)


def asked(task: str, at_s: float) -> Requested:
    return Requested(time_s=T + 99, node="squall", seq=1, agent="agent-2", task=task, stored_s=T + at_s)


def paused(node: str, start_s: float, end_s: float) -> Injected:
    return Injected(kind="pause", target=node, node=node, start_s=T + start_s, end_s=T + end_s, verified=True)


ABLE = {"agent-1": ["momentum"], "agent-2": ["pairs"], "agent-3": ["pairs", "momentum"]}
HEDGES = tuple(given(f"t-{n}", "hedge", n / 100 + 1.0) for n in range(0, 30, 3))


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (history({"distribution": "round-robin"}), "3 agents began 100 to 100 tasks each"),
        (
            history({"distribution": "specialised", "capabilities": ABLE}, lambda n: f"agent-{1 + n % 2}"),
            "had the capability",
        ),
        (
            history({"distribution": "specialised", "capabilities": {"agent-1": ["nothing of these"]}}),
            "had the capability",
        ),
        (
            history({"distribution": "affinity"}, lambda n: AGENTS[n % 50 % 3]),
            "100% of 250 tasks ran where the one before them of their key had",
        ),
        (
            history(
                {"distribution": "round-robin"},
                given=(given("t-5", "absent", 6.0),),
                faults=(paused("agent-2", 1.0, 8.0),),
            ),
            "given to another: 1 absent",
        ),
        (
            history({"hedge_after": 2.0}, given=HEDGES, twice=lambda n: n < 30 and n % 3 == 0),
            "10 hedges; of 10 that were still needed 10 began",
        ),
        (
            history(
                {"hedge_after": 2.0},
                given=HEDGES,
                requests=tuple(asked(f"t-{n}", n / 100 + 1.5) for n in range(3, 30, 3)),
                twice=lambda n: n == 0,
            ),
            "10 hedges; of 1 that were still needed 1 began",
        ),
    ],
)
def test_what_goes_where_it_should_passes(found: History, says: str) -> None:
    verdict, detail = judged(found)
    assert (verdict, says in detail) == ("pass", True), detail


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (
            history({"distribution": "round-robin"}, lambda n: AGENTS[0 if n % 4 else 1]),
            "3 agents began 0 to 225 tasks each in turn",
        ),
        (
            history({"distribution": "specialised", "capabilities": ABLE}),
            "100 tasks have been ended by an agent without the capability",
        ),
        (history({"distribution": "affinity"}), "0% of 250 tasks"),
        (history({"distribution": "stealing"}), "0% of 250 tasks"),
        (
            history({"hedge_after": 2.0}, given=HEDGES, twice=lambda n: n == 100),
            "10 of 10 hedges never began",
        ),
        (
            history(
                {"hedge_after": 2.0},
                given=tuple(given(f"t-{n}", "hedge", 4.0) for n in range(30)),
                twice=lambda n: n < 30,
            ),
            "30 hedges of 300 tasks, and 5% may be",
        ),
        (
            history({"distribution": "adaptive"}, given=(given("t-5", "hedge", 4.0),)),
            "been hedged, and nobody asked",
        ),
        (
            history({"distribution": "adaptive"}, given=(given("t-5", "absent", 6.0),)),
            "been taken from a worker to whom nothing had been done",
        ),
        (
            history(
                {"distribution": "adaptive"},
                given=(given("t-5", "absent", 60.0),),
                faults=(paused("agent-2", 1.0, 8.0), paused("agent-3", 58.0, 61.0)),
            ),
            "been taken from a worker to whom nothing had been done",
        ),
    ],
)
def test_what_goes_elsewhere_fails(found: History, says: str) -> None:
    found_verdict, detail = judged(found)
    assert (found_verdict, says in detail) == ("fail", True), detail


@pytest.mark.parametrize(
    ("spec", "is_held", "alike"),
    [
        ({}, False, True),
        ({"distribution": "pull", "hedge_after": 2.0}, True, True),
        ({"distribution": "round-robin"}, True, True),
        ({"distribution": "affinity"}, True, False),
        ({"distribution": "specialised", "capabilities": ABLE}, True, False),
    ],
)
def test_a_run_is_held_to_what_its_spec_says(spec: dict[str, Any], is_held: bool, alike: bool) -> None:
    found = history(spec)
    assert (DISTRIBUTED.when(found), shares_alike(found)) == (is_held, alike)
