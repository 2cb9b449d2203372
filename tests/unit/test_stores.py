"""When it is told that a stream nears its bound: once, and again only after it was away from it."""

from __future__ import annotations

import pytest

from squall.services.run.stores import AWAY, NEAR, Nearness


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ([0.0, 0.5, NEAR - 0.01], [False, False, False]),
        ([NEAR], [True]),
        ([1.0], [True]),
        ([NEAR, 0.9, 1.0, NEAR], [True, False, False, False]),
        ([NEAR, AWAY, NEAR], [True, False, False]),  # it wavers
        ([NEAR, AWAY - 0.01, NEAR, 0.9], [True, False, True, False]),
        ([NEAR, 0.0, 0.75, 0.9], [True, False, False, True]),
    ],
)
def test_it_is_told_when_it_is_news(shares: list[float], told: list[bool]) -> None:
    nearness = Nearness()
    assert [nearness.look("IN", share) for share in shares] == told


def test_each_stream_is_told_of_for_itself() -> None:
    nearness = Nearness()
    assert [nearness.look(stream, 0.9) for stream in ("IN", "RES", "IN", "RES")] == [True, True, False, False]
