"""What a series exercised follows from its histories, and what it did not from what there is."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import msgspec
from tests.unit.histories import good_run
from tests.unit.test_series import result

from squall.chaos.evidence.facts import Asked, Injected, NodeStart
from squall.chaos.evidence.model import Execution, History, Submission
from squall.chaos.evidence.series import Planned
from squall.chaos.judge.checks.ledger import ORDINARY_HANDLER
from squall.chaos.judge.exercised import OUTAGE_S, WORKLOADS, Exercised, Struck, exercise_of, exercised
from squall.chaos.judge.series import SeriesResult, judged_of, series_result
from squall.chaos.plan import poison, varied
from squall.chaos.plan.kinds import DISCONNECT, KINDS, LEAVE, SLOW
from squall.chaos.tell.documents import history_of
from squall.chaos.tell.exercised import NEVER, left_out, matrix
from squall.chaos.tell.table import print_series
from squall.services.cli.terminal import Terminal
from squall.services.patterns import PATTERNS

SPEC = {"pattern": "hierarchical"}


def fault(kind: str, target: str, at_s: float = 1.0, for_s: float = 1.0, **more: Any) -> Injected:
    given = {"node": target, "verified": True, "end_s": at_s + for_s, **more}
    return Injected(kind=kind, target=target, start_s=at_s, **given)


def of(*faults: Injected, spec: dict[str, object] | None = None, **more: Any) -> Exercised:
    history = History(spec=SPEC if spec is None else spec, faults=faults, **more)
    return exercised("hierarchical", [exercise_of(history)])


def counts(found: Exercised) -> dict[tuple[str, str], tuple[int, int]]:
    """Verified, and all, of each kind and target of which there was a fault."""
    return {(s.kind, s.target): (s.verified, s.faults) for s in found.faults if s.faults}


def test_a_fault_counts_once_however_many_nodes_it_struck() -> None:
    found = of(
        *(fault("pause", "all-agents", id=f"1/agent-{n}", node=f"agent-{n}") for n in (1, 2)),
        *(fault("pause", "all-agents", id=f"2/a-{n}", node=f"a-{n}", verified=n == 1) for n in (1, 2)),
        fault("crash", "leader", id="3/coordinator-1"),
        fault("pause", "leader, for coordinator.claimed", id="4/coordinator-1"),
        missed=(fault("crash", "leader", id="5/missed", verified=False),),
    )
    assert counts(found) == {
        ("pause", "all-agents"): (1, 2),
        ("crash", "leader"): (1, 2),
        ("pause", "leader"): (1, 1),
    }


def test_what_there_is_and_was_not_exercised_is_a_zero() -> None:
    pairs = {(struck.kind, struck.target) for struck in of().faults}
    there = {*KINDS} - {LEAVE, SLOW, DISCONNECT}
    assert {kind for kind, _ in pairs} == there, "it has no roster, nor stages, nor containers"
    assert {("latency", "gateway"), ("crash", "broker"), ("latency", "producer")} <= pairs
    assert not {("latency", "broker"), ("late", "producer"), ("latency", "agent-1")} & pairs
    alone = {struck.target for struck in of(spec={**SPEC, "coordinators": 1}).faults}
    assert "standby" not in alone
    assert of(spec={"pattern": "carousel"}).faults == ()
    assert of(spec={**SPEC, "agents": "four"}).faults == ()


def test_a_broker_of_somebody_elses_is_none_of_what_there_is() -> None:
    def targets(*roles: str) -> set[str]:
        nodes = tuple(NodeStart(node=role, role=role, incarnation=1, started_s=0.0) for role in roles)
        return {struck.target for struck in of(nodes=nodes).faults}

    assert "broker" in targets("broker", "venue")
    assert targets("venue") == targets("broker", "venue") - {"broker"}


def test_only_what_overlapped_was_in_force_at_once() -> None:
    found = of(
        fault("latency", "gateway", 1.0, 4.0, id="1/gateway"),
        fault("crash", "any-agent", 2.0, 0.0, id="2/agent-1", node="agent-1"),
        fault("pause", "all-agents", 3.0, 1.0, id="3/agent-1", node="agent-1"),
        fault("pause", "all-agents", 3.0, 1.0, id="3/agent-2", node="agent-2"),
        fault("reset", "gateway", 4.5, 1.0, id="4/gateway"),
        fault("jitter", "leader", 5.0, 1.0, id="5/coordinator-1", verified=False),
        fault("flap", "leader", 9.0, 1.0, id="6/coordinator-1"),
    )
    assert [(pair.kinds, pair.where, pair.times) for pair in found.together] == [
        (("crash", "latency"), "different nodes", 1),
        (("latency", "pause"), "different nodes", 1),
        (("latency", "reset"), "one node", 1),
    ]


def begun(*tasks: str) -> dict[str, list[Execution]]:
    return {task: [Execution(1.0, "agent-1", 1, 1)] for task in tasks}


def works(handler: str | None, *tasks: str) -> dict[str, int]:
    found = of(asked=Asked(handler=handler), executions=begun(*tasks))
    return {work.workload: work.tasks for work in found.workloads if work.tasks}


def test_tasks_are_told_by_what_their_handler_does_with_them() -> None:
    poisonous = next(f"a-{n}" for n in range(1000) if poison.is_poison(f"a-{n}"))
    innocent = next(f"a-{n}" for n in range(1000) if not poison.is_poison(f"a-{n}"))
    assert works(ORDINARY_HANDLER, "a-1", "a-2") == {"ordinary": 2}
    assert works(poison.HANDLER, poisonous, innocent) == {"poison": 1, "ordinary": 1}
    assert works("mine:decide", "a-1") == {"other": 1}
    sorts = [varied.sort_of(f"a-{n}") for n in range(2000)]
    told = works(varied.HANDLER, *(f"a-{n}" for n in range(2000)))
    assert told == {"ordinary": sorts.count("plain")} | {sort: sorts.count(sort) for sort in varied.SHARES}


def test_an_outage_is_a_fault_that_holds_for_long_and_meets_what_is_due_meanwhile() -> None:
    offers = {f"a-{n}": Submission(f"a-{n}", float(n), "accepted") for n in range(20)}
    outage = fault("refuse", "gateway", 4.5, OUTAGE_S)
    found = {w.workload: w.tasks for w in of(outage, submissions=offers).workloads}
    assert found["outage"] == 10
    short = {w.workload: w.tasks for w in of(fault("refuse", "gateway"), submissions=offers).workloads}
    assert short["outage"] == 0
    assert list(short) == list(WORKLOADS)


def test_what_was_left_out_is_told_from_the_general_to_the_particular() -> None:
    found = Exercised(
        pattern="mine",
        faults=tuple(
            Struck(kind=kind, target=target, faults=faults, verified=verified)
            for kind, target, faults, verified in (
                ("slow", "hub", 2, 2), ("slow", "door", 0, 0), ("slow", "roof", 0, 0),
                ("cut", "hub", 3, 1), ("cut", "door", 1, 1), ("burn", "hub", 1, 0), ("burn", "roof", 0, 0),
            )
        ),
        together=(),
        workloads=(),
    )  # fmt: skip
    assert left_out(found, []) == [
        "kinds of faults: burn",
        "targets: roof",
        "1 more pair of a kind and a target",
        "two faults at once on different nodes",
        "two faults at once on one node",
    ]
    whole = matrix(found, whole=True)
    assert whole.targets == ["hub", "door", "roof"]
    assert whole.rows == [
        ("slow", ["2", NEVER, NEVER]),
        ("cut", ["1/3", "1", ""]),
        ("burn", ["0/1", "", NEVER]),
    ]
    assert matrix(found, whole=False).targets == ["hub", "door"]


def everything(pattern: str) -> History:
    """A run in which everything struck everybody."""
    struck = exercise_of(History(spec={"pattern": pattern})).possible
    faults = tuple(
        fault(kind, target, float(n), id=f"{n}/{target}") for n, (kind, target) in enumerate(struck)
    )
    return History(asked=Asked(pattern=pattern), spec={"pattern": pattern}, faults=faults)


def printed(series: SeriesResult) -> list[str]:
    shown = io.StringIO()
    print_series(series, Terminal(file=shown, width=80))
    return shown.getvalue().splitlines()


def series_of(history: History, *, all_faults: bool) -> SeriesResult:
    one = msgspec.structs.replace(result("seed-1", H1="pass"), pattern=history.asked.pattern)
    return series_result(Planned(runs=("seed-1",), all_faults=all_faults), [judged_of(one, history)])


def test_the_table_is_legible_on_a_narrow_terminal_also_where_everything_struck() -> None:
    for pattern in PATTERNS:
        lines = printed(series_of(everything(pattern), all_faults=True))
        first = next(n for n, line in enumerate(lines) if line.startswith("seen in force"))
        table = lines[first : lines.index("", first)]
        assert len(table) <= len(KINDS) + 4, table
        assert max(map(len, lines)) <= 80
        latency = next(line for line in table if line.startswith("latency"))
        assert set(latency.split()[1:]) == {"1"}


def test_a_series_that_was_narrowed_is_not_told_what_it_left_out() -> None:
    one = History(asked=Asked(pattern="hierarchical"), spec=SPEC, faults=(fault("latency", "gateway"),))
    asked_for_all = "\n".join(printed(series_of(one, all_faults=True)))
    assert "not exercised" in asked_for_all
    assert "targets: leader, standby, all-coordinators" in " ".join(asked_for_all.split())
    assert "not exercised" not in "\n".join(printed(series_of(one, all_faults=False)))


def test_what_was_exercised_is_in_the_directory_alone(tmp_path: Path) -> None:
    history = history_of(good_run().write(tmp_path / "seed-1"))
    [found] = series_of(history, all_faults=True).exercised
    assert counts(found) == {("pause", "leader"): (1, 1)}
    assert sum(not struck.faults for struck in found.faults) > 100
    document = msgspec.json.decode(msgspec.json.encode(series_of(history, all_faults=True)))
    assert {"runs", "checks", "recovery", "coverage", "verdict", "exercised"} <= document.keys()
    assert {"pattern", "faults", "together", "workloads"} == document["exercised"][0].keys()
