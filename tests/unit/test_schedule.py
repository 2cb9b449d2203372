"""A schedule comes from a seed alone, covers what it says, survives being written, and refuses nonsense."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.chaos.cli.setup import spec_of
from squall.chaos.errors import FaultError
from squall.chaos.inject.faults.catalogue import FAULTS
from squall.chaos.inject.schedule_file import checked, load, parse, text_of
from squall.chaos.judge.checks import promises_of
from squall.chaos.plan.cells import SEEDS_FOR_ALL, SEEDS_TO_AN_EFFECT, STRIKES, cells
from squall.chaos.plan.draw import draw
from squall.chaos.plan.kinds import FAMILIES, KINDS
from squall.chaos.plan.schedule import Interval, Schedule, check, toml
from squall.chaos.plan.series import FAULTS_S
from squall.chaos.plan.surface import Surface, surface_of
from squall.services.patterns import PATTERNS
from squall.services.patterns.hierarchical import HierarchicalSpec

SPEC = HierarchicalSpec()
SURFACE = surface_of(SPEC)
POINTS = tuple(SURFACE.points)


def drawn(seed: int) -> Schedule:
    return draw(seed, SPEC, length_s=FAULTS_S)


@given(st.integers(0, 10_000))
def test_a_seed_always_draws_the_same_and_what_can_be_done(seed: int) -> None:
    schedule = drawn(seed)
    assert schedule == drawn(seed)
    assert check(schedule, SURFACE) is schedule
    first = schedule.intervals[0]
    assert (first.fault, first.target) == ("pause", "leader")
    assert first.for_s > SPEC.lease_s
    others = [interval.at_s for interval in schedule.intervals[1:] if not interval.at_end]
    assert all(at_s >= first.for_s for at_s in others), "the first fail-over is disturbed"


def test_some_seeds_strike_once_more_as_the_load_ends() -> None:
    at_the_end = [[i.at_end for i in drawn(seed).intervals] for seed in range(100)]
    assert all(not any(strikes[:-1]) for strikes in at_the_end)
    assert 20 <= sum(strikes[-1] for strikes in at_the_end) <= 60


def test_what_strikes_at_the_end_strikes_at_no_other_time_or_place() -> None:
    for elsewhere in (
        Interval(fault="reset", target="leader", at_end=True, at_s=1.0),
        Interval(fault="crash", target="leader", at_end=True, point="coordinator.gathered"),
    ):
        with pytest.raises(FaultError, match="and elsewhere"):
            check(Schedule(seed=1, intervals=(elsewhere,)), SURFACE)


def test_seeds_differ() -> None:
    assert len({toml(drawn(seed)) for seed in range(20)}) == 20


@given(st.integers(0, 1000), st.sampled_from(sorted(PATTERNS)))
def test_enough_seeds_in_a_row_strike_every_step_in_every_way(first: int, pattern: str) -> None:
    promises, spec = promises_of(pattern), PATTERNS[pattern].spec()
    assert promises is not None
    seldom = PATTERNS[pattern].seldom()  # which the pattern's further runs strike
    vital, points = promises.to_an_effect, [each for each in PATTERNS[pattern].points() if each not in seldom]

    def struck(seeds: int) -> set[tuple[str, str]]:
        return {
            (interval.point, interval.fault)
            for seed in range(first, first + seeds)
            for interval in draw(seed, spec, length_s=FAULTS_S, to_an_effect=vital).intervals
            if interval.point
        }

    assert struck(SEEDS_TO_AN_EFFECT) >= {(point, STRIKES[strike]) for point, strike in cells(vital)}
    assert struck(SEEDS_FOR_ALL) == {(point, STRIKES[strike]) for point, strike in cells(points)}


def test_a_family_more_shifts_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    before = drawn(5)
    monkeypatch.setattr("squall.chaos.plan.draw.FAMILIES", {**FAMILIES, "more": ("refuse",)})
    after = drawn(5)
    assert all(interval in after.intervals for interval in before.intervals)


@given(st.integers(0, 10_000))
def test_what_is_written_is_read_back(seed: int) -> None:
    schedule = drawn(seed)
    path = Path("/dev/shm") / f"squall-schedule-{seed}.toml"
    try:
        path.write_text(toml(schedule))
        assert load(path, SPEC) == schedule
    finally:
        path.unlink()


def test_the_file_of_a_run_has_the_magnitudes_that_were_left_out() -> None:
    intervals = (
        Interval(fault="jitter", target="gateway", for_s=1.0, magnitude={"latency_ms": 9}),
        Interval(fault="crash", target="leader"),
    )
    text = text_of(Schedule(seed=1, intervals=intervals))
    assert text.count("magnitude") == 1
    assert "magnitude = {latency_ms = 9, jitter_ms = 60}" in text
    assert text_of(parse(text, SPEC)) == text


def test_a_fault_asked_for_by_name_is_the_only_one() -> None:
    schedule = draw(3, SPEC, length_s=FAULTS_S, faults=[("latency", "gateway"), ("crash", "broker")])
    assert {(i.fault, i.target) for i in schedule.intervals} == {("latency", "gateway"), ("crash", "broker")}


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (Interval(fault="blackhol", target="leader"), "did you mean blackhole"),
        (Interval(fault="split", target="leader"), "one broker"),
        (Interval(fault="bridge", target="leader"), "one broker"),
        (Interval(fault="pause", target="hub", for_s=1.0), "no target 'hub'"),
        (Interval(fault="pause", target="agent-9", for_s=1.0), "no target 'agent-9'"),
        (Interval(fault="refuse", target="agent-1|agent-2"), "one broker they have none to cut"),
        (Interval(fault="refuse", target="agent-1,agent-2"), "one broker they have none to cut"),
        (Interval(fault="latency", target="broker"), "the broker has none"),
        (Interval(fault="clock-off", target="producer"), "must not be misled"),
        (Interval(fault="restart", target="producer"), "crash it"),
        (Interval(fault="errors", target="gateway"), "name the venue"),
        (Interval(fault="late", target="venue"), "the broker delivers nothing to the venue"),
        (Interval(fault="one-way-up", target="venue"), "cut both"),
        (Interval(fault="errors", target="venue", point="venue.filled"), "cannot be told of errors"),
        (
            Interval(fault="latency", target="leader", magnitude={"latncy_ms": 3}),
            "did you mean 'latency_ms'",
        ),
        (
            Interval(fault="latency", target="leader", magnitude={"latency_ms": -1}),
            "latency_ms = -1 is too few: at least 1",
        ),
        (Interval(fault="crash", target="leader", magnitude={"hard": 1}), "crash has no magnitude 'hard'"),
        (Interval(fault="latency", target="gateway"), "latency of gateway lasts for no time"),
        (Interval(fault="blackhole", target="gateway", at_end=True), "for instance for_s = 2.0"),
        (Interval(fault="clock-off", target="leader", magnitude={"offset_s": 0}), "leaves the clock right"),
        (Interval(fault="late", target="any-agent", point="agent.committed"), "cannot be told of late"),
        (Interval(fault="restart", target="gateway", point="gateway.filled"), "cannot be told of restart"),
        (Interval(fault="crash", target="leader", point="agent.committed"), "never reaches"),
        (Interval(fault="crash", target="leader", point="coordinator.dreamt"), "no point"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(interval: Interval, words: str) -> None:
    with pytest.raises(FaultError) as error:
        checked(Schedule(seed=1, intervals=(interval,)), SPEC)
    assert words in f"{error.value}; {error.value.remedy}"
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("seed = 1\n[[interval]]\nfault = 'pause'\ntarget = 'leader'\nduration = 3\n", "duration"),
        ("seed = 1\nintervals = []\n", "intervals"),
        ("intervals = []\n", "'intervals' is nothing that a schedule has; did you mean 'interval'"),
        ("seed = 1\n[[interval]]\nfault = 'crash'\nat = 3\n", "did you mean 'at_s'"),
        ("seed = 1\n[interval]\nfault = 'crash'\n", r"begins with a line \[\[interval\]\]"),
        ("seed = 1\ninterval = [1]\n", r"begins with a line \[\[interval\]\]"),
        ("seed = 1\n[[interval]]\nmagnitude = 3\n", "interval 1, magnitude is no table"),
        ("seed = 1\n[[interval]]\nmagnitude = { every = 1.5 }\n", "every = 1.5 is no whole number"),
        ("seed = 'one'\n", 'seed = "one" is no whole number'),
        ("seed = ", "not valid TOML: at its end, after = is no value"),
        ('seed = 1\n[[interval]]\nfault = "crash\n', "not valid TOML: in line 3, a quote is not closed"),
        ('seed = """1\n', "not valid TOML: at its end, a quote is not closed"),
        ("seed = 1\n[[interval]]\nfault = 'pause'\ntarget = 'leader'\nat_s = -1.0\n", "at_s"),
    ],
)
def test_a_file_is_read_strictly(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "schedule.toml").write_text(text)
    with pytest.raises(FaultError, match=words):
        load(tmp_path / "schedule.toml", SPEC)


@pytest.mark.parametrize(
    ("changes", "target"), [({"coordinators": 1}, "standby"), ({"agents": 2}, "minority")]
)
def test_a_role_that_nobody_has_is_refused(changes: dict[str, int], target: str) -> None:
    with pytest.raises(FaultError):
        check(
            Schedule(seed=1, intervals=(Interval(fault="pause", target=target),)),
            surface_of(HierarchicalSpec(**changes)),
        )
    assert all(
        interval.target != target
        for seed in range(30)
        for interval in draw(seed, HierarchicalSpec(**changes), length_s=FAULTS_S).intervals
        if not interval.point
    )


def test_what_a_plan_knows_of_is_what_can_be_done() -> None:
    assert set(FAULTS) == set(KINDS)


def test_nobody_leads_where_no_role_does() -> None:
    peers = Surface(pattern="fan-out", nodes=SURFACE.nodes, leading="", points={})
    for target in ("leader", "standby"):
        with pytest.raises(FaultError, match="nobody leads in the pattern fan-out"):
            check(Schedule(seed=1, intervals=(Interval(fault="pause", target=target),)), peers)


def test_everybody_who_can_lead_is_a_target() -> None:
    schedule = Schedule(seed=1, intervals=(Interval(fault="pause", target="all-coordinators"),))
    assert check(schedule, SURFACE) is schedule


def struck(fault: str, target: str, pattern: str) -> str:
    """Why a swarm cannot be struck so; empty if it can."""
    for_s = 1.0
    try:
        check(
            Schedule(seed=1, intervals=(Interval(fault=fault, target=target, for_s=for_s),)),
            surface_of(spec_of(pattern)),
        )
    except FaultError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("fault", "target", "why"),
    [
        ("errors", "stage-3", ""),
        ("slow", "any-instance", ""),
        ("slow", "agent-2", ""),
        ("crash", "stage-2", ""),
        ("errors", "venue", ""),
        ("errors", "gateway", "gateway answers no requests of the outside"),
        ("slow", "venue", "nothing that attempts of venue depend on can be struck"),
        ("errors", "stage-9", "there is no target 'stage-9' in this swarm"),
    ],
)
def test_what_the_attempts_of_a_stage_depend_on_can_be_struck(fault: str, target: str, why: str) -> None:
    assert struck(fault, target, "ring") == why


def test_where_nobody_does_the_same_together_nothing_attempts_depend_on_can_be_struck() -> None:
    assert "no target 'stage-1'" in struck("errors", "stage-1", "hierarchical")
    assert "can be struck" in struck("slow", "any-agent", "hierarchical")
    assert "no requests" in struck("errors", "any-agent", "hierarchical")
