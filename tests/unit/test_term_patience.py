"""When a candidate may take a seat over, as a table."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from squall.bus.subjects import Subjects
from squall.bus.term import Leadership, Patience, Sight

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


@pytest.mark.anyio
async def test_a_leader_acts_where_the_broker_fences_nothing_only_while_its_lease_has_a_margin() -> None:
    swarm = Subjects("s")
    seat = swarm.coordinator_seat
    leadership = Leadership(
        cast("Any", None), seat, "coordinator-1", 5, LEASE_S, lambda event, term, code: None
    )
    now_s = asyncio.get_running_loop().time()
    for since_s, may in [(0.1, True), (0.5 * LEASE_S, True), (0.8 * LEASE_S, False), (2 * LEASE_S, False)]:
        leadership._renewed_s = now_s - since_s
        assert leadership.may_act() is may, since_s
