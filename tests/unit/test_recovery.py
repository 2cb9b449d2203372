"""L2 and L3: each recovery within the bound of what was struck; the calm afterwards as the steady state."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.chaos.evidence.facts import Asked, Injected, NodeStart, Phase, Register
from squall.chaos.evidence.model import History, Submission, Venue
from squall.chaos.inject.idle import Idle
from squall.chaos.judge.case import Case, case_of
from squall.chaos.judge.checks.recovery import as_before, each_recovery, is_ordinary, load_went_on, recovery
from squall.chaos.judge.decide import decide
from squall.chaos.judge.episodes import episodes
from squall.chaos.judge.tally import tally
from squall.chaos.plan.bounds import START_S, Cause, causes_of, drain_bound_s, recovery_bound_s
from squall.chaos.plan.kinds import KINDS
from squall.services.patterns import PATTERNS

RATE = 10.0
STEADY_S, CALM_S = 3.0, 1.5
TIMERS = {"lease_s": 1.0, "ack_wait_s": 1.5, "backlog_s": 0.0, "shut_s": 9.0}

ASKED = Asked(pattern="hierarchical", seed=1, lease_s=1.0, ack_wait_s=1.5)


def struck(begin_s: float, end_s: float | None, kind: str = "crash", node: str = "agent-1") -> Injected:
    return Injected(kind=kind, target=node, node=node, start_s=begin_s, end_s=end_s, verified=True)


def run(ended_s: dict[float, float], faults: Sequence[Injected] = (), **facts: Any) -> History:
    """Tasks by when they were due, with when their effects were carried out."""
    tasks = {f"a-{n}": times for n, times in enumerate(sorted(ended_s.items()))}
    return History(
        asked=ASKED,
        spec={"rate_per_s": RATE},
        nodes=tuple(
            NodeStart(node=node, role=role, incarnation=1, started_s=0.0)
            for node, role in (("agent-1", "agent"), ("venue", "venue"), ("coordinator-1", "coordinator"))
        ),
        faults=tuple(faults),
        submissions={task: Submission(task, due_s, "accepted") for task, (due_s, _) in tasks.items()},
        registers=tuple(
            Register(task=task, key="a", job="j", status="ok", stored_s=due_s, effects=(f"{task}-0",))
            for task, (due_s, _) in tasks.items()
        ),
        venue=Venue(
            fills={f"{task}-0": (filled_s,) for task, (_, filled_s) in tasks.items()},
            received=len(tasks),
            invalid=0,
            conflicting=(),
        ),
        **facts,
    )


def found(history: History) -> list[tuple[int, float, int, float]]:
    return [
        (len(each.faults), each.healed_s, each.open, each.took_s)
        for each in episodes(history, tally(history))
    ]


def test_a_recovery_counts_what_was_due_when_all_was_healed() -> None:
    assert found(run({1.0: 1.1, 5.0: 9.0, 7.0: 20.0}, [struck(4.0, 6.0)])) == [(1, 6.0, 1, 3.0)]


def test_what_strikes_before_the_end_of_a_recovery_belongs_to_it() -> None:
    tasks = {1.0: 1.1, 5.0: 9.0, 9.5: 13.0, 30.0: 30.5}
    assert found(run(tasks, [struck(4.0, 6.0), struck(8.0, 10.0), struck(29.0, 31.0)])) == [
        (2, 10.0, 1, 3.0),
        (1, 31.0, 0, 0.0),
    ]


def test_while_a_fault_lasts_nothing_is_recovered_from() -> None:
    assert found(run({1.0: 1.1}, [struck(0.5, 0.7), struck(0.6, None)])) == []


@given(
    st.dictionaries(st.floats(0, 50), st.floats(0, 20), max_size=20),
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 5)), min_size=1, max_size=6),
)
def test_each_fault_is_of_one_recovery_and_none_begins_within_another(
    took_s: dict[float, float], faults: list[tuple[float, float]]
) -> None:
    history = run(
        {due_s: due_s + late_s for due_s, late_s in took_s.items()},
        [struck(begin_s, begin_s + for_s) for begin_s, for_s in faults],
    )
    recovered = episodes(history, tally(history))
    assert sum(len(each.faults) for each in recovered) == len(faults)
    for earlier, later in itertools.pairwise(recovered):
        assert earlier.healed_s + earlier.took_s < min(fault.start_s for fault in later.faults)


def case(history: History) -> Case:
    """With all its evidence there."""
    return replace(case_of(history, None), doubts=())


@pytest.mark.parametrize("node", ["agent-1", "venue", "coordinator-1", "broker"])
def test_a_recovery_may_take_what_was_struck_makes_it_take(node: str) -> None:
    role = node.partition("-")[0]
    causes = causes_of("crash", role, "coordinator")
    bound_s = recovery_bound_s([(causes, 0.0)], **{**TIMERS, "backlog_s": 1 / RATE})
    for took_s, expected in ((bound_s - 0.01, "pass"), (bound_s + 0.01, "fail")):
        assert (
            each_recovery(case(run({5.0: 6.0 + took_s}, [struck(4.0, 6.0, node=node)]))).verdict == expected
        )


def test_each_kind_of_fault_has_a_bound_and_nothing_makes_it_smaller() -> None:
    everything: set[Cause] = set()
    for kind in KINDS:
        for role in ("agent", "gateway", "coordinator", "broker", "venue", "producer"):
            causes = causes_of(kind, role, "coordinator")
            everything |= causes
            alone_s = recovery_bound_s([(causes, 0.0)], **TIMERS)
            assert alone_s > 1.0
            assert recovery_bound_s([(causes, 0.0), ({"lead"}, 0.0)], **TIMERS) >= alone_s
            assert recovery_bound_s([(causes, 0.0), (causes, 3.0)], **TIMERS) == alone_s
            assert recovery_bound_s([(causes, 3.0)], **TIMERS) < alone_s
    assert everything == {"link", "silence", "process", "lead", "delivery", "venue", "shut"}


def test_each_poison_that_is_left_may_take_all_its_attempts_one_after_the_other() -> None:
    spec = PATTERNS["star"].spec(pattern="star")
    bound_s = [drain_bound_s(spec, 5, (), poison=poison) for poison in range(3)]
    each_s = spec.attempts * max(spec.ack_wait_s, START_S)
    assert bound_s == pytest.approx([bound_s[0] + poison * each_s for poison in range(3)])


def test_only_tasks_that_take_no_time_of_their_own_are_timed() -> None:
    handler = PATTERNS["hierarchical"].spec().handler
    phases = (Phase(time_s=1.0, what="steady"),)
    for said, expected in ((handler, True), ("mine:decide", False), (None, False)):
        asked = Asked(pattern="hierarchical", handler=said)
        assert is_ordinary(History(asked=asked, phases=phases)) is expected
    assert not is_ordinary(History(asked=Asked(pattern="hierarchical", handler=handler)))


def calm(*, took_s: float, share: float = 1.0, idle: float | None = 0.1) -> History:
    """A steady state in which tasks took 10 ms; and a calm."""
    tasks = {n / RATE: n / RATE + 0.01 for n in range(30)}
    until = 20.0 + CALM_S
    due = [20.0 + n / RATE for n in range(15)]
    tasks |= {
        at_s: at_s + took_s if place < share * len(due) else until + 5.0 for place, at_s in enumerate(due)
    }
    return run(
        tasks,
        phases=(
            Phase(time_s=STEADY_S, what="steady", seconds=STEADY_S, idle=0.5),
            Phase(time_s=10.0, what="healed", bound_s=20.0),
            Phase(time_s=until, what="calm", seconds=CALM_S, idle=idle),
        ),
    )


@pytest.mark.parametrize(
    ("history", "says"),
    [
        (calm(took_s=0.01), ""),
        (calm(took_s=0.079), ""),
        (calm(took_s=0.2), "fter the last heal 100% of 10 tasks"),
        (calm(took_s=0.01, share=0.5), ""),
        (calm(took_s=0.01, share=0.4), "fter the last heal only 60% of 10 tasks"),
    ],
)
def test_the_calm_is_held_against_the_steady_state(history: History, says: str) -> None:
    found = as_before(case(history))
    assert found.verdict == ("fail" if says else "pass")
    assert says in found.detail


@pytest.mark.parametrize("idle", [0.099, None])
def test_a_busy_machine_is_no_slow_swarm(idle: float | None) -> None:
    found = as_before(case(calm(took_s=0.2, idle=idle)))
    assert found.verdict == "unknown"
    assert ("10% of it was idle" if idle else "how busy") in found.detail
    assert as_before(case(calm(took_s=0.01, idle=idle))).verdict == "pass"


def test_idle_time_is_a_share() -> None:
    idle = Idle()
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        pass
    share = idle.share()
    assert share is not None
    assert 0 <= share < 1


def test_where_the_load_ended_before_the_last_heal_there_is_nothing_to_hold_against() -> None:
    history = replace(calm(took_s=0.01), faults=(struck(4.0, 6.0),))
    assert load_went_on(history)
    assert not load_went_on(replace(history, faults=()))
    assert not load_went_on(replace(history, submissions={"a": Submission("a", 9.9, "accepted")}))
    assert not load_went_on(replace(history, phases=()))


def test_without_a_calm_nothing_is_said() -> None:
    assert as_before(case(run({1.0: 1.1}))).verdict == "unknown"


@pytest.mark.parametrize(
    ("idle", "verdict"), [((0.5, 0.4), "fail"), ((0.5, None), "fail"), ((0.09, 0.4), "unknown"), ((), "fail")]
)
def test_what_is_late_on_a_busy_machine_is_not_known_to_be(
    idle: tuple[float | None, ...], verdict: str
) -> None:
    phases = tuple(Phase(time_s=1.0, what="healed", idle=share) for share in idle)
    judged = case(run({1.0: 1.1}, phases=phases))
    assert decide(judged, late=["it took long"], passed="").verdict == verdict
    assert decide(judged, passed="").verdict == "pass"
    assert decide(judged, shown=["it is wrong"], late=["it took long"], passed="").verdict == "fail"


@pytest.mark.parametrize(("ended_s", "late"), [(29.9, False), (30.1, True)])
def test_a_load_that_goes_on_gives_no_more_time_to_what_was_due_at_the_last_heal(
    ended_s: float, late: bool
) -> None:
    phases = (
        Phase(time_s=10.0, what="healed", bound_s=20.0),
        Phase(time_s=31.0, what="calm", seconds=CALM_S, idle=0.5),
    )
    found = recovery(case(run({9.0: ended_s}, [struck(8.0, 10.0)], phases=phases)))
    assert ("what was due at the last heal ended" in found.detail.lower()) is late
    assert found.verdict == ("fail" if late else "unknown")  # that it was read back, no line tells
