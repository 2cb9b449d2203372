"""What came waits for what was sent before it, and no longer than it may."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from squall.services.rules.consecutive import Consecutive

PATIENCE_S = 0.25


def after(*came: tuple[int, float]) -> Consecutive:
    numbers = Consecutive(PATIENCE_S)
    for number, now_s in came:
        numbers.came(number, now_s)
    return numbers


def test_nothing_is_waited_for_in_a_row_wherever_it_begins() -> None:
    assert Consecutive(PATIENCE_S).wait_s(5.0) == 0
    assert after((501, 1.0), (502, 1.1), (503, 9.0)).wait_s(9.0) == 0


def test_what_is_missing_is_waited_for_until_it_comes() -> None:
    numbers = after((1, 1.0), (3, 1.1), (4, 1.2))
    assert numbers.wait_s(1.2) == PATIENCE_S - (1.2 - 1.1)
    numbers.came(2, 1.3)
    assert numbers.wait_s(1.3) == 0


def test_each_gap_has_its_own_patience() -> None:
    numbers = after((1, 1.0), (3, 1.1), (5, 1.2))
    numbers.came(2, 1.3)
    assert numbers.wait_s(1.3) == PATIENCE_S


def test_what_does_not_come_in_time_is_given_up_and_may_still_come() -> None:
    numbers = after((1, 1.0), (3, 1.1))
    assert numbers.wait_s(1.1 + PATIENCE_S) == 0
    numbers.came(4, 1.5)
    assert numbers.wait_s(1.5) == 0
    numbers.came(2, 1.6)
    assert numbers.wait_s(1.6) == 0


@given(st.permutations(range(7, 27)), st.data())
def test_once_all_have_come_nothing_is_waited_for(order: list[int], data: st.DataObject) -> None:
    numbers = after((6, 0.0))
    now_s = 0.0
    for number in order:
        numbers.came(number, now_s)
        now_s += data.draw(st.sampled_from([0.0, 0.01, 1.0]))
        assert 0 <= numbers.wait_s(now_s) <= PATIENCE_S
    assert numbers.wait_s(now_s) == 0
