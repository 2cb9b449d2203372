"""When a candidate may take a seat over, as a table."""

from __future__ import annotations

import pytest

from squall.bus.term import Patience, Sight

LEASE_S = 2.0


@pytest.mark.parametrize(
    ("seen", "free"),
    [
        ([(0.0, Sight())], True),
        ([(0.0, Sight(5, 6))], False),
        ([(0.0, Sight(5, 6)), (1.9, Sight(5, 6))], False),
        ([(0.0, Sight(5, 6)), (2.0, Sight(5, 6))], True),
        ([(0.0, Sight(5, 6)), (1.9, Sight(5, 7)), (3.8, Sight(5, 7))], False),
        ([(0.0, Sight(5, 6)), (1.9, Sight(8, 9)), (3.8, Sight(8, 9))], False),
        ([(0.0, Sight(5, 6)), (0.1, Sight(5, 7, released=True))], True),
    ],
    ids=[
        "nobody ever led",
        "first look",
        "silent for less than a lease",
        "silent for a lease",
        "renewed in between",
        "another took over in between",
        "given up",
    ],
)
def test_a_seat_is_free_when_empty_given_up_or_silent_for_a_lease(
    seen: list[tuple[float, Sight]], free: bool
) -> None:
    patience = Patience(LEASE_S)
    answers = [patience.observe(sight, now_s) for now_s, sight in seen]
    assert answers[-1] is free
    assert not any(answers[:-1])
