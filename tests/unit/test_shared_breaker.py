"""What is said of a breaker that instances share, and what their heartbeats tell it."""

from __future__ import annotations

import pytest

from squall.bus.codec import decode, encode
from squall.bus.ended import Done, Ended, Failed, NotThere
from squall.services.roles.guarded import class_of
from squall.services.rules.breaker import Counts, End
from squall.services.rules.shared_breaker import Said, Totals


@pytest.mark.parametrize(
    ("now_s", "left_s"),
    [(100.0, 5.0), (102.0, 3.0), (105.0, 0.0), (500.0, 0.0), (40.0, 5.0)],
)
def test_however_wrong_a_clock_is_no_more_is_left_of_its_time_than_there_was(
    now_s: float, left_s: float
) -> None:
    said = decode(encode(Said(state="open", opened=1, for_s=5.0, why="it failed")), Said)
    assert said.left_s(100.0, now_s) == left_s


def counters(calls: int, failed: int = 0, slow: int = 0) -> dict[str, int]:
    return {"calls": calls, "calls_failed": failed, "calls_slow": slow, "done": 7}


def test_what_is_new_of_an_instance_is_counted_once_whichever_start_it_is_of() -> None:
    totals = Totals()
    heard = [
        (1, counters(5, 5), Counts()),  # when these were is not known
        (1, counters(9, 6, 1), Counts(4, 1, 1)),
        (1, counters(9, 6, 1), Counts()),
        (2, counters(3, 3), Counts(3, 3)),
        (1, counters(12, 6, 1), Counts()),  # it was late, and is of a start that is over
        (2, counters(2), Counts()),  # what is less than before says nothing
        (2, counters(4, 1), Counts(2, 1)),
        (3, {}, Counts()),
    ]
    for incarnation, told, new in heard:
        assert totals.since("agent-1", incarnation, told) == new
    assert totals.since("agent-2", 1, counters(50)) == Counts()


@pytest.mark.parametrize(
    ("ended", "end"),
    [
        (Done(), "ok"),
        (Failed("it is away"), "transient"),
        (Failed("it is no task", final=True), "poison"),
        (NotThere("nobody was there"), "shed"),
    ],
)
def test_only_what_another_attempt_might_not_meet_counts_against_what_is_called(
    ended: Ended, end: End
) -> None:
    assert class_of(ended) == end
