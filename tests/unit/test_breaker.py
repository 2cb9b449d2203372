"""A circuit breaker: when it opens, how long it waits, and what it lets through. On a virtual clock."""

from __future__ import annotations

import random
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.services.rules.breaker import (
    SLOTS,
    TRANSITIONS,
    Breaker,
    Changed,
    Counts,
    End,
    Permit,
    Settings,
    State,
    Verb,
    judged,
    share,
)

SETTINGS = Settings(failures_in_a_row=100)
VERBS: tuple[Verb, ...] = get_args(Verb)


def breaker(settings: Settings = SETTINGS, *, seed: int = 1, probes: int | None = None) -> Breaker:
    return Breaker(settings, random.Random(seed), 0.0, probes=probes)


def call(of: Breaker, now_s: float, end: End, took_s: float = 0.01) -> list[Changed]:
    """One call that begins and ends at a time, if it may be made."""
    changes = of.look(now_s)
    permit = of.admit(now_s)
    return changes if permit is None else changes + of.ended(now_s, permit, end, took_s)


def tripped(of: Breaker, now_s: float = 0.0) -> Changed:
    """Have it open."""
    for _ in range(SETTINGS.calls_min - 1):
        assert call(of, now_s, "transient") == []
    [change] = call(of, now_s, "transient")
    return change


@pytest.mark.parametrize(
    ("calls", "failed", "slow", "why"),
    [
        (0, 0, 0, ""),
        (19, 19, 19, ""),
        (20, 9, 0, ""),
        (20, 10, 0, "10 of 20 calls failed"),
        (20, 0, 15, ""),
        (20, 0, 16, "16 of 20 calls took longer than 5 s"),
        (1000, 499, 799, ""),
        (1000, 500, 800, "500 of 1000 calls failed"),
    ],
)
def test_a_window_opens_it_by_shares_of_enough_calls(calls: int, failed: int, slow: int, why: str) -> None:
    assert judged(SETTINGS, Counts(calls, failed, slow)) == why


@pytest.mark.parametrize("end", ["poison", "bug", "shed"])
def test_what_a_task_does_to_itself_never_opens_it(end: End) -> None:
    closed = breaker()
    assert all(call(closed, n / 100, end, took_s=60.0) == [] for n in range(10_000))
    assert closed.state == "closed"


def test_slow_calls_open_it_though_all_end_well() -> None:
    closed = breaker()
    changes = [change for n in range(20) for change in call(closed, n / 10, "ok", took_s=5.1)]
    assert [(change.after, change.why) for change in changes] == [
        ("open", "20 of 20 calls took longer than 5 s")
    ]


def test_calls_that_fail_one_after_the_other_open_it_however_many_ended_well_before() -> None:
    closed = breaker(Settings(failures_in_a_row=10))
    assert all(call(closed, n / 1000, "ok") == [] for n in range(10_000))
    for n in range(9):
        assert call(closed, 10.0 + n, "transient") == []
    assert call(closed, 19.5, "ok") == []
    assert all(call(closed, 20.0 + n / 10, "transient") == [] for n in range(9))
    [change] = call(closed, 21.0, "transient")
    assert change.why == "10 calls failed one after the other"


def test_one_that_is_told_of_calls_opens_and_closes_by_what_they_came_to() -> None:
    told = breaker(Settings(failures_in_a_row=10))
    assert told.counted(0.0, Counts(40, 2, 0)) == []
    assert told.counted(1.0, Counts(6, 6, 0)) == []
    [opened] = told.counted(2.0, Counts(6, 6, 0))
    assert (opened.event, opened.opened) == ("trip", 1)
    assert opened.until_s is not None
    assert told.counted(3.0, Counts(1, 1, 0)) == []  # it ended late, and says nothing any more
    assert [change.after for change in told.look(opened.until_s)] == ["half-open"]
    assert told.counted(opened.until_s, Counts(2, 1, 0)) == []
    [failed] = told.counted(opened.until_s + 1, Counts(1, 1, 0))
    assert (failed.after, failed.opened) == ("open", 2)
    assert failed.until_s is not None
    told.look(failed.until_s)
    [passed] = told.counted(failed.until_s, Counts(5, 1, 0))
    assert (passed.event, passed.after) == ("passed", "closed")


def test_one_follows_the_breaker_that_it_shares_and_makes_its_share_of_probes_once_that_is_over() -> None:
    own = breaker(probes=1)
    permit = own.admit(1.0)
    assert permit is not None
    [told] = own.follow(2.0, "open", 6.0, 3)
    assert (told.event, told.after, told.until_s, told.opened) == ("told", "open", 6.0, 3)
    assert own.follow(2.5, "open", 6.0, 3) == []
    assert own.ended(3.0, permit, "transient", 0.1) == []  # it began before
    assert not own.is_current(permit)
    assert own.admit(5.9) is None
    own.look(6.0)
    assert [own.admit(6.0) is None for _ in range(3)] == [False, True, True]
    [closed] = own.follow(6.5, "closed", None, 3)
    assert (closed.before, closed.after) == ("half-open", "closed")
    late = breaker()
    assert [change.after for change in late.follow(9.0, "open", 8.0, 1)] == ["open", "half-open"]


def test_what_is_older_than_the_window_does_not_count() -> None:
    closed = breaker()
    for _ in range(SETTINGS.calls_min - 1):
        call(closed, 0.0, "transient")
    assert call(closed, SETTINGS.window_s, "transient") == []
    assert tripped(breaker()).after == "open"


def test_an_open_one_lets_nothing_through_until_its_time_is_over_and_then_three() -> None:
    opened = breaker()
    change = tripped(opened)
    assert change.until_s is not None
    assert opened.look(change.until_s - 0.001) == []
    assert opened.admit(change.until_s - 0.001) is None
    assert [each.event for each in opened.look(change.until_s)] == ["waited"]
    permits = [opened.admit(change.until_s) for _ in range(10)]
    assert [permit is not None for permit in permits] == [True] * 3 + [False] * 7
    assert opened.probing == 3


@pytest.mark.parametrize(
    ("ends", "after"),
    [
        (["ok", "ok", "ok"], "closed"),
        (["ok", "transient", "ok"], "closed"),
        (["transient", "ok", "transient"], "open"),
        (["transient"] * 3, "open"),
        (["poison", "ok", "bug", "ok", "ok"], "closed"),
    ],
)
def test_its_probes_decide_and_two_of_three_must_end_well(ends: list[End], after: State) -> None:
    halfway = breaker()
    until_s = tripped(halfway).until_s
    assert until_s is not None
    for end in ends:
        call(halfway, until_s, end)
    assert halfway.state == after


def test_probes_that_do_not_end_have_failed_but_it_waits_for_the_first_for_ever() -> None:
    halfway = breaker()
    until_s = tripped(halfway).until_s
    assert until_s is not None
    halfway.look(until_s)
    assert halfway.look(until_s + 1000) == []
    permit = halfway.admit(until_s + 1000)
    assert permit is not None
    assert halfway.look(until_s + 1000 + SETTINGS.probe_s - 0.01) == []
    [change] = halfway.look(until_s + 1000 + SETTINGS.probe_s)
    assert (change.event, change.after) == ("failed", "open")
    assert halfway.ended(until_s + 1011, permit, "ok", 0.01) == []
    assert halfway.state == "open"


def test_a_call_that_began_before_it_opened_is_no_probe() -> None:
    opened = breaker()
    early = opened.admit(0.0)
    assert early is not None
    until_s = tripped(opened).until_s
    assert until_s is not None
    opened.look(until_s)
    assert opened.ended(until_s, early, "transient", 0.01) == []
    assert opened.ended(until_s, early, "ok", 0.01) == []
    assert opened.state == "half-open"
    assert opened.probing == 0


def test_a_probe_of_an_earlier_trial_says_nothing_of_this_one() -> None:
    halfway = breaker()
    until_s = tripped(halfway).until_s
    assert until_s is not None
    halfway.look(until_s)
    early = [halfway.admit(until_s) for _ in range(3)]
    [change] = halfway.look(until_s + SETTINGS.probe_s)
    assert change.until_s is not None
    halfway.look(change.until_s)
    assert halfway.admit(change.until_s) is not None
    for permit in early:
        assert permit is not None
        assert halfway.ended(change.until_s, permit, "ok", 0.01) == []
    assert (halfway.state, halfway.probing) == ("half-open", 1)


def test_it_waits_twice_as_long_each_time_up_to_a_minute_and_a_fifth_more_or_less() -> None:
    waits: list[float] = []
    failing = breaker()
    change = tripped(failing)
    while len(waits) < 8:
        assert change.until_s is not None
        waits.append(change.until_s - change.at_s)
        ends = [call(failing, change.until_s, "transient") for _ in range(3)]
        [change] = ends[-1]
    for wait, plain in zip(waits, [5, 10, 20, 40, 60, 60, 60, 60], strict=True):
        assert 0.8 * plain <= wait <= 1.2 * plain
    assert len({round(wait / plain, 6) for wait, plain in zip(waits[4:], [60] * 4, strict=True)}) == 4
    assert SETTINGS.longest_s(10_000) == SETTINGS.wait_max_s * 1.2


def test_closed_for_two_minutes_it_forgets_how_often_it_has_been_open() -> None:
    closed = breaker()
    until_s = tripped(closed).until_s
    assert until_s is not None
    for _ in range(3):
        call(closed, until_s, "ok")
    assert (closed.state, closed.opened) == ("closed", 1)
    closed.look(until_s + SETTINGS.clean_s - 0.01)
    assert closed.opened == 1
    closed.look(until_s + SETTINGS.clean_s)
    assert closed.opened == 0


def test_an_operator_has_the_last_word() -> None:
    operated = breaker()
    assert [change.after for change in operated.operate(0.0, "force-open")] == ["forced-open"]
    assert operated.operate(0.0, "force-open") == []
    assert operated.look(1e9) == []
    assert operated.admit(1e9) is None
    operated.operate(1e9, "resume")
    assert operated.state == "half-open"  # nobody knows how what was not called would do
    operated.operate(1e9, "disable")
    assert all(call(operated, 1e9, "transient") == [] for _ in range(1000))
    operated.operate(1e9, "observe")
    changes = [change for _ in range(20) for change in call(operated, 1e9, "transient")]
    assert [(change.event, change.after) for change in changes] == [("trip", "observe")]
    assert operated.admit(1e9) is not None


def test_every_state_allows_every_verb_and_leads_to_a_state() -> None:
    states = set(get_args(State))
    assert set(TRANSITIONS) == states
    for events in TRANSITIONS.values():
        assert set(VERBS) <= set(events)
        assert set(events.values()) <= states


def outcomes(seed: int, errors: float, length_s: float, per_s: float) -> tuple[Breaker, list[Changed]]:
    """A stage whose calls fail by chance, for so long."""
    chance = random.Random(seed)
    of, now_s, changes = breaker(seed=seed), 0.0, list[Changed]()
    while (now_s := now_s + chance.expovariate(per_s)) < length_s:
        changes += call(of, now_s, "transient" if chance.random() < errors else "ok")
    return of, changes


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("per_s", [1.0, 5.0])
def test_ten_thousand_seconds_at_five_percent_errors_open_it_at_most_once(seed: int, per_s: float) -> None:
    _, changes = outcomes(seed, 0.05, 10_000, per_s)
    assert len([change for change in changes if change.event == "trip"]) <= 1


@pytest.mark.parametrize("per_s", [2.0, 20.0, 300.0])
@pytest.mark.parametrize("begins_s", [5.0, 30.0, 61.7])
def test_where_every_call_fails_it_opens_within_half_a_window_and_a_second(
    per_s: float, begins_s: float
) -> None:
    failing, changes, number = breaker(), list[Changed](), 0
    while not changes:
        number += 1
        now_s = number / per_s
        changes = call(failing, now_s, "ok" if now_s < begins_s else "transient")
    assert 0 < changes[0].at_s - begins_s <= SETTINGS.window_s / 2 + 1


steps = st.lists(
    st.tuples(
        st.floats(0, 40),
        st.sampled_from(["begin", "end", "look", "count", *VERBS]),
        st.sampled_from(get_args(End)),
        st.floats(0, 10),
    ),
    max_size=120,
)


@given(steps, st.integers(1, 5), st.integers(0, 2**32))
def test_whatever_happens_it_keeps_its_bounds(
    taken: list[tuple[float, str, End, float]], probes: int, seed: int
) -> None:
    settings = Settings(calls_min=3, failures_in_a_row=4, probes=probes)
    of = Breaker(settings, random.Random(seed), 0.0)
    now_s, held, last = 0.0, list[Permit](), "closed"
    for after_s, verb, end, took_s in taken:
        now_s += after_s
        changes = of.look(now_s)
        if verb == "begin":
            permit = of.admit(now_s)
            assert (permit is None) or of.state not in ("open", "forced-open")
            held += [permit] if permit else []
        elif verb == "end" and held:
            changes += of.ended(now_s, held.pop(len(held) // 2), end, took_s)
        elif verb == "count":
            changes += of.counted(now_s, Counts(4, 3, 0))
        elif verb in VERBS:
            changes += of.operate(now_s, verb)
        assert 0 <= of.probing <= probes
        for change in changes:
            assert (change.before, TRANSITIONS[change.before][change.event]) == (last, change.after)
            last = change.after
            assert (change.until_s is not None) == (change.after == "open")
            if change.until_s is not None:
                assert settings.wait_s * 0.8 <= change.until_s - now_s <= settings.longest_s(change.opened)
        assert of.state == last


@given(st.integers(1, 20), st.integers(1, 20), st.integers(0, 3))
def test_instances_share_the_probes_of_each_turn_and_make_no_more_of_them(
    probes: int, instances: int, joined: int
) -> None:
    names = [f"agent-{number}" for number in range(instances)]
    given_out = [share(probes, names, name) for name in [*names, *(f"new-{n}" for n in range(joined))]]
    turns = {each.turn for each in given_out}
    assert all(each.probes >= 1 for each in given_out)
    for turn in turns:
        mine = [each.probes for each in given_out[:instances] if each.turn == turn]
        assert sum(mine) <= probes
        assert max(mine, default=0) - min(mine, default=0) <= 1
    assert all(
        each.turn > max(known.turn for known in given_out[:instances]) for each in given_out[instances:]
    )
    assert sum(each.probes for each in given_out[:instances] if each.turn == 0) == probes


def test_one_without_a_share_of_the_probes_makes_none() -> None:
    idle = breaker(probes=0)
    until_s = tripped(idle).until_s
    assert until_s is not None
    idle.look(until_s)
    assert idle.admit(until_s) is None


def test_a_window_keeps_as_much_however_many_calls_there_are() -> None:
    closed = breaker()
    for n in range(50_000):
        call(closed, n / 500, "ok")
    assert len(closed._window._slots) <= SLOTS + 1


@pytest.mark.parametrize(
    "wrong",
    [
        {"window_s": 0.0},
        {"failures_share": 1.1},
        {"slow_share": 0.0},
        {"jitter_share": 1.0},
        {"wait_s": 61.0},
        {"probes": 0},
        {"calls_min": 0},
        {"failures_in_a_row": 0},
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="_"):
        Settings(**wrong)  # type: ignore[arg-type]
