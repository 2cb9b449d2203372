"""Which attempt a repeat is, who is a suspect, and that a suspect runs alone."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from squall.bus import attempts, log
from squall.bus.attempts import FIRST, Doubts, Mark, Marks, Quarantine, begin, is_suspect, not_made
from squall.bus.codec import encode
from squall.bus.jetstream import WRONG_LAST_SEQUENCE, Outcome
from squall.bus.log import Record
from squall.bus.messages import TaskTried
from squall.bus.subjects import Subjects

pytestmark = pytest.mark.anyio


def lives(ends: list[str], attempts_max: int) -> list[TaskTried]:
    """The marks of a task whose attempts end as told, ``died`` or ``failed``, as far as it gets."""
    marks: list[TaskTried] = []
    mark: TaskTried | None = None
    for place, end in enumerate(ends):
        if place > 0:
            mark = begin(mark, attempts_max)
            if mark is None:
                break
            marks.append(mark)
        if end == "failed":
            mark = replace(mark or TaskTried(attempts=1), running=False)
    return marks


def test_a_task_that_kills_every_worker_has_all_its_attempts_and_no_more() -> None:
    marks = lives(["died"] * 10, 5)
    assert [(mark.attempts, mark.deaths) for mark in marks] == [(2, 1), (3, 2), (4, 3), (5, 4)]
    assert [is_suspect(mark, 5) for mark in marks] == [False, True, True, True]


def test_attempts_that_fail_in_good_order_are_no_deaths() -> None:
    marks = lives(["failed", "failed", "died", "failed"], 5)
    assert [(mark.attempts, mark.deaths) for mark in marks] == [(2, 0), (3, 0), (4, 1)]


@pytest.mark.parametrize(("attempts_max", "alone_from"), [(1, 1), (2, 1), (3, 2), (5, 2), (20, 2)])
def test_the_last_attempt_of_a_task_that_only_ever_died_is_alone(attempts_max: int, alone_from: int) -> None:
    for deaths in range(5):
        assert is_suspect(TaskTried(attempts=9, deaths=deaths), attempts_max) is (deaths >= alone_from)


@given(st.lists(st.sampled_from(["died", "failed"]), max_size=30), st.integers(1, 20))
def test_attempts_count_up_to_the_bound_and_deaths_never_pass_them(
    ends: list[str], attempts_max: int
) -> None:
    marks = lives(ends, attempts_max)
    assert [mark.attempts for mark in marks] == list(range(2, 2 + len(marks)))
    assert all(mark.attempts <= attempts_max and mark.deaths < mark.attempts for mark in marks)


async def test_a_suspect_runs_alone_and_others_together() -> None:
    quarantine = Quarantine()
    running: list[str] = []
    seen: list[set[str]] = []

    async def attempt(name: str, *, alone: bool) -> None:
        await quarantine.enter(alone=alone)
        running.append(name)
        for _ in range(3):
            seen.append(set(running))
            await asyncio.sleep(0)
        running.remove(name)
        quarantine.leave(alone=alone)

    names = ["a", "b", "S", "c", "T", "d"]
    async with asyncio.TaskGroup() as tasks:
        for name in names:
            tasks.create_task(attempt(name, alone=name.isupper()))
    assert {"a", "b"} in seen
    assert all(len(together) == 1 for together in seen if any(name.isupper() for name in together))
    assert set().union(*seen) == set(names)
    assert not quarantine.closed


async def test_a_suspect_that_gives_up_waiting_lets_the_others_in() -> None:
    quarantine = Quarantine()
    await quarantine.enter(alone=False)
    suspect = asyncio.create_task(quarantine.enter(alone=True))
    await asyncio.sleep(0)
    assert quarantine.closed
    suspect.cancel()
    with pytest.raises(asyncio.CancelledError):
        await suspect
    async with asyncio.timeout(5):
        await quarantine.enter(alone=False)
        quarantine.leave(alone=False)
        quarantine.leave(alone=False)
        await quarantine.enter(alone=True)
    assert quarantine.closed


@pytest.mark.parametrize(
    ("newest", "tries", "is_ours"),
    [("ours", 2, True), ("another's", 2, False), ("none", 2, False), ("ours", 1, False)],
)
async def test_a_mark_that_is_refused_counts_if_an_earlier_try_of_it_was_stored_and_is_the_newest(
    monkeypatch: pytest.MonkeyPatch, newest: str, tries: int, is_ours: bool
) -> None:
    """The answer to the first try was lost, and the second one is refused, by it or by somebody else's."""
    mine, other = TaskTried(attempts=2, write="mine"), TaskTried(attempts=2, write="other")
    there = {"ours": mine, "another's": other}.get(newest)

    async def refused(*asked: object, **how: object) -> Outcome:
        return Outcome("refused", code=WRONG_LAST_SEQUENCE, reason="wrong last sequence", tries=tries)

    async def read(connection: object, stream: str, subject: str) -> Record | None:
        return Record(subject, 7, encode(there), 0.0) if there else None

    monkeypatch.setattr(attempts, "publish", refused)
    monkeypatch.setattr(log, "direct", read)
    marks = Marks(None, Subjects("s"), "pool")  # type: ignore[arg-type]
    assert await marks.write("7", "t", mine, 6) is is_ours


# An attempt that nobody was there to make.


@pytest.mark.parametrize("before", [None, TaskTried(attempts=2, deaths=1, running=True), FIRST])
def test_an_attempt_that_was_not_made_leaves_the_count_as_it_was(before: TaskTried | None) -> None:
    tried = begin(before, 5)
    assert tried is not None
    again = begin(not_made(tried), 5)
    assert again is not None
    assert (again.attempts, again.deaths) == (tried.attempts, tried.deaths)


def test_a_first_attempt_that_was_not_made_is_made_as_the_first() -> None:
    again = begin(not_made(FIRST), 5)
    assert again is not None
    assert (again.attempts, again.deaths) == (1, 0)


@pytest.mark.parametrize(
    ("mark", "open_s"),
    [
        (Mark(None, 0, 0.0), 0.0),
        (Mark(FIRST, 7, 100.0), 4.0),
        (Mark(FIRST, 7, 99.0), 3.0),
        (Mark(FIRST, 7, 95.0), 0.0),
        (Mark(not_made(FIRST), 7, 100.0), 0.0),
        (Mark(FIRST, 7, 701.0), 5.0),  # our clock is ten minutes behind
    ],
)
def test_an_attempt_is_under_way_until_its_worker_would_have_been_missed(mark: Mark, open_s: float) -> None:
    assert mark.open_s(5.0, 101.0) == open_s


def test_a_delivery_older_than_the_last_attempt_is_believed_at_its_second_coming() -> None:
    tried = replace(FIRST, order=40)
    mark, doubts = Mark(tried, 7, 100.0), Doubts()
    assert not doubts.has(sequence=3, order=41, mark=mark)  # given out after it: whoever made it is missed
    assert doubts.has(sequence=3, order=39, mark=mark)
    assert not doubts.has(sequence=3, order=39, mark=mark)
    assert doubts.has(sequence=4, order=39, mark=mark)
    assert doubts.has(sequence=3, order=39, mark=Mark(tried, 8, 101.0))  # another attempt was begun meanwhile
    assert not doubts.has(sequence=5, order=1, mark=Mark(None, 0, 0.0))


def test_doubts_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "DOUBTED_MAX", 2)
    mark, doubts = Mark(replace(FIRST, order=40), 7, 100.0), Doubts()
    assert all(doubts.has(sequence, 1, mark) for sequence in (1, 2, 3))
    assert doubts.has(1, 1, mark)  # forgotten, and so doubted once more
    assert not doubts.has(3, 1, mark)
