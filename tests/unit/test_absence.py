"""A worker whose handler is not there pulls nothing for a while, then one task at a time, then as before."""

from __future__ import annotations

import pytest

from squall.bus.absence import BASE_S, CAP_S, PAUSE_MAX_S, Absence


def test_nothing_is_pulled_in_the_pause_then_one_and_all_once_it_is_there() -> None:
    absence = Absence()
    assert absence.room(8, 0, 0.0) == 8
    pause_s = absence.missed(0.0)
    assert pause_s == 2 * BASE_S
    assert absence.room(8, 0, pause_s / 2) == 0
    assert absence.room(8, 0, pause_s) == 1
    assert absence.room(7, 1, pause_s) == 0
    absence.met()
    assert absence.room(7, 1, pause_s) == 7


def test_several_that_miss_it_in_one_pause_are_one() -> None:
    absence = Absence()
    first_s = absence.missed(0.0)
    assert [absence.missed(0.0) for _ in range(7)] == [first_s] * 7


def test_pauses_double_up_to_a_bound() -> None:
    absence, now_s, pauses = Absence(), 0.0, []
    for _ in range(12):
        pauses.append(absence.missed(now_s))
        now_s += pauses[-1]
    assert pauses[:4] == pytest.approx([2 * BASE_S, 4 * BASE_S, 8 * BASE_S, 16 * BASE_S])
    assert pauses[-1] == pytest.approx(CAP_S)


def test_a_handler_may_ask_for_a_longer_pause_within_a_bound() -> None:
    assert Absence().missed(0.0, 7.0) == 7.0
    assert Absence().missed(0.0, 1e9) == PAUSE_MAX_S
