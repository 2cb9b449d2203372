"""Who gets no tasks for a while, and for how long: tables and properties of the rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.services.rules.breaker import Counts
from squall.services.rules.ejection import ROW, TIMES_MAX, Ejected, Ejection

EJECT_S = 30.0
THREE = ("a", "b", "c")

WELL, FAILED = Counts(1, 0), Counts(1, 1)


def told(rule: Ejection, name: str, *counts: Counts, now_s: float = 0.0) -> None:
    for each in counts:
        rule.counted(now_s, name, each)


def failing(*names: str, well: tuple[str, ...] = (), row: int = ROW) -> Ejection:
    """Some have failed so often in a row, others have ended something well."""
    rule = Ejection(EJECT_S)
    for name in well:
        told(rule, name, WELL)
    for name in names:
        told(rule, name, *[FAILED] * row)
    return rule


@pytest.mark.parametrize(
    ("rule", "instances", "out"),
    [
        (failing("a", well=("b", "c")), THREE, ["a"]),
        (failing("a", well=("b", "c"), row=ROW - 1), THREE, []),
        (failing("a", well=("b",)), THREE, []),  # of most others nothing is known
        (failing("a", well=("b",)), ("a", "b"), []),  # more than a third
        (failing("a"), THREE, []),
        (failing("a", "b", well=("c",)), THREE, []),  # most fail: not one's own
        (failing("a", "b", well=("c", "d", "e", "f")), "abcdef", ["a", "b"]),
        (failing("a", "b", well=("c", "d", "e")), "abcde", ["a"]),  # a third of five is one
        (failing("a"), ("a",), []),
        (failing("a", well=("b", "c")), ("b", "c"), []),  # it is not there
    ],
)
def test_who_is_ejected(rule: Ejection, instances: tuple[str, ...], out: list[str]) -> None:
    assert [ejected.name for ejected in rule.look(0.0, instances)] == out
    assert rule.out(0.1) == frozenset(out)


def test_one_that_ends_anything_well_begins_anew() -> None:
    rule = failing("a", well=("b", "c"), row=ROW - 1)
    told(rule, "a", Counts(4, 3), FAILED)
    assert not rule.look(0.0, THREE)


def test_one_that_is_back_is_out_again_with_its_first_failure_until_it_ends_something_well() -> None:
    rule = failing("a", well=("b", "c"))
    assert rule.look(0.0, THREE)
    told(rule, "a", *[FAILED] * ROW, now_s=EJECT_S - 1.0)  # what it had begun before
    assert not rule.look(EJECT_S, THREE)
    told(rule, "a", FAILED, now_s=EJECT_S)
    assert [ejected.times for ejected in rule.look(EJECT_S, THREE)] == [2]
    later_s = 10 * EJECT_S
    told(rule, "a", WELL, *[FAILED] * (ROW - 1), now_s=later_s)
    assert not rule.look(later_s, THREE)
    told(rule, "a", FAILED, now_s=later_s)
    assert rule.look(later_s, THREE)


def test_what_says_nothing_of_calls_changes_nothing() -> None:
    rule = failing("a", well=("b", "c"), row=ROW - 1)
    told(rule, "a", Counts(), Counts(1, 1))
    assert [ejected.name for ejected in rule.look(0.0, THREE)] == ["a"]


def test_it_is_out_longer_each_time_unless_it_was_in_for_as_long() -> None:
    rule, now_s, spans = failing("a", well=("b", "c")), 0.0, []
    for _ in range(TIMES_MAX + 2):
        (ejected,) = rule.look(now_s, THREE)
        spans.append(ejected.for_s)
        assert not rule.look(now_s + ejected.for_s - 0.1, THREE)
        now_s += ejected.for_s
        assert not rule.out(now_s)
        told(rule, "a", *[FAILED] * ROW, now_s=now_s)
    assert spans == [EJECT_S * min(TIMES_MAX, n) for n in range(1, TIMES_MAX + 3)]
    assert rule.look(now_s + TIMES_MAX * EJECT_S, THREE) == [Ejected("a", EJECT_S, 1)]


def test_nought_ejects_nobody() -> None:
    rule = Ejection(0.0)
    told(rule, "b", WELL)
    told(rule, "c", WELL)
    told(rule, "a", *[FAILED] * 100)
    assert not rule.look(0.0, THREE)


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcdefg"), st.integers(0, 6), st.integers(0, 6), st.floats(0, 20), st.integers(1, 7)
    ),
    max_size=60,
)


@given(STEPS)
def test_never_more_than_a_third_are_out_and_one_always_stays(
    steps: list[tuple[str, int, int, float, int]],
) -> None:
    rule, now_s = Ejection(EJECT_S), 0.0
    for name, calls, failed, later_s, there in steps:
        now_s += later_s
        rule.counted(now_s, name, Counts(max(calls, failed), failed))
        instances = "abcdefg"[:there]
        before = len(rule.out(now_s) & {*instances})
        now = {ejected.name for ejected in rule.look(now_s, instances)}
        assert now <= {*instances}
        after = len(rule.out(now_s) & {*instances})
        assert after == before + len(now)
        if now:
            assert after <= len(instances) / 3
            assert after < len(instances)
