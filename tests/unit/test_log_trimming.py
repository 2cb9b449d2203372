"""What is over in a log of votes: what neither queue nor gateway needs; all forget it at the same place."""

from __future__ import annotations

import pytest
from tests.unit.test_voting import OPEN, THREE, decided, folded, vote

from squall.services.roles.log_trimming import Mark
from squall.services.rules.voting import Closed, Ignored, Proposed, Tasked, Trimmed


@pytest.mark.parametrize(
    ("queue_first", "delivered", "over"),
    [
        (11, 7, True),
        (12, 9, True),
        (10, 7, False),  # a decision of then is still in the queue
        (11, 6, False),  # the gateway has not carried out a register of then
        (1, 0, False),
    ],
)
def test_nobody_needs_what_was_carried_out(queue_first: int, delivered: int, *, over: bool) -> None:
    assert Mark(below=5, queued=10, registered=7).is_over(queue_first, delivered) is over


def test_what_is_over_is_forgotten_and_what_is_not_goes_on() -> None:
    fold, told = folded(
        *OPEN, vote("a", 3), vote("b", 3), Tasked("u", "k"), Proposed("a", "u", 1), Trimmed(below=6)
    )
    assert told[-1] is None
    assert {*fold.tasks} == {"u"}
    assert fold.trimmed == 6
    assert fold.tasks["u"].open is not None


LATE = (
    vote("c", 3),
    Closed("a", "t", 1, 3),
    decided("a"),
    Proposed("b", "t", 2),
)


@pytest.mark.parametrize("record", LATE, ids=lambda record: type(record).__name__)
def test_what_is_said_later_of_what_is_over_does_not_count(record: object) -> None:
    fold, told = folded(*OPEN, vote("a", 3), vote("b", 3), Trimmed(below=6), record)  # type: ignore[arg-type]
    assert told[-1] == "unknown-task"
    assert not fold.tasks


@pytest.mark.parametrize(
    ("belows", "said"), [((3, 2), "late"), ((3, 3), "late"), ((9,), "premature"), ((3,), None)]
)
def test_a_place_that_is_none_to_trim_at_is_ignored(belows: tuple[int, ...], said: Ignored | None) -> None:
    trims = [Trimmed(below) for below in belows]
    fold, told = folded(THREE, Tasked("t", "k"), Tasked("u", "k"), *trims)
    assert told[-1] == said
    assert {*fold.tasks} == ({"t", "u"} if said == "premature" else {"u"})


@pytest.mark.parametrize(
    ("task", "at", "forgotten"),
    [
        ("t", 5, True),  # decided before the place below which all is over
        ("t", 8, True),  # decided behind it, and over all the same
        ("t", 11, False),  # said to have been decided after that was written: nobody has read so far
        ("none", 8, True),
        ("u", 5, False),  # it is known, and can be held against the log
        ("u", 9, False),
    ],
)
def test_a_decision_of_what_is_forgotten_accuses_nobody(task: str, at: int, *, forgotten: bool) -> None:
    fold, told = folded(
        THREE,
        Tasked("t", "k"),
        Tasked("u", "k"),
        Proposed("a", "t", 1),
        Proposed("a", "u", 1),
        *(vote(peer, 4) for peer in "ab"),
        decided("a", proposal=4, at=7),
        vote("c", 4),
        Trimmed(below=3),
    )
    assert told[-1] is None
    assert {*fold.tasks} == {"u"}
    assert fold.is_forgotten(task, at) is forgotten


def test_before_anything_was_removed_nothing_is_forgotten() -> None:
    fold, _ = folded(*OPEN)
    assert not fold.is_forgotten("none", 1)
