"""When a task is late, and how many may be tried a second time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from squall.services.rules.hedging import KNOWN_MAX, KNOWN_MIN, LEAST_S, SHARE_MAX, Hedging


def known(multiple: float, *took_s: float) -> Hedging:
    hedging = Hedging(multiple)
    for seconds in took_s:
        hedging.took(seconds)
    return hedging


def test_nothing_is_late_where_there_are_to_be_no_hedges() -> None:
    assert known(0.0, *[3.0] * 50).late_s() is None


def test_nothing_is_late_while_nobody_knows_what_is_usual() -> None:
    assert known(2.0, *[3.0] * (KNOWN_MIN - 1)).late_s() is None
    assert known(2.0, *[3.0] * KNOWN_MIN).late_s() == 6.0


def test_the_usual_is_what_most_keep_to() -> None:
    assert known(2.0, *[2.0] * 96, *[60.0] * 4).late_s() == 4.0
    assert known(2.0, *[2.0] * 90, *[60.0] * 10).late_s() == 120.0


def test_nothing_short_is_late() -> None:
    assert known(2.0, *[0.01] * 100).late_s() == LEAST_S


def test_what_was_usual_long_ago_is_forgotten() -> None:
    assert known(2.0, *[60.0] * KNOWN_MAX, *[2.0] * KNOWN_MAX).late_s() == 4.0


@given(st.lists(st.booleans(), max_size=400))
def test_few_are_tried_a_second_time(late: list[bool]) -> None:
    hedging = Hedging(2.0)
    for is_late in late:
        hedging.took(1.0)
        if is_late and hedging.may():
            hedging.hedged()
        assert hedging.hedges <= SHARE_MAX * hedging.tasks + 1
