"""Epochs of a roster follow each other by one number and one member, whatever is asked for."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.bus.errors import RosterError
from squall.bus.keys import user_key
from squall.bus.roster import Change, follows, founding, joining, leaving
from squall.bus.vote_messages import MEMBERS_MAX, EpochRecord, Member

NAMES = [f"agent-{number}" for number in range(1, 8)]


@functools.cache
def key(name: str, number: int = 0) -> str:
    return user_key().public


def member(name: str, number: int = 0) -> Member:
    return Member(name=name, key=key(name, number), weight=1 + number)


names = st.sampled_from(NAMES)
changes = st.one_of(
    st.builds(lambda name, number: joining(member(name, number)), names, st.integers(0, 1)),
    st.builds(leaving, names),
    st.builds(lambda some: founding([member(name) for name in some], "majority"), st.sets(names, min_size=1)),
)


@given(st.lists(changes, max_size=30))
def test_epochs_follow_each_other_by_one_number_and_one_member(asked: list[Change]) -> None:
    now: EpochRecord | None = None
    for change in asked:
        try:
            then = change(now)
        except RosterError:
            continue
        assert change(then) == then  # asked again it is as it should be
        assert then.members
        if now is None:
            assert then.epoch == 1
        else:
            assert then == now or follows(now, then)
        now = then


@given(st.sets(names, min_size=2), names, names)
def test_majorities_of_two_epochs_that_follow_each_other_meet(first: set[str], one: str, other: str) -> None:
    now = founding([member(name) for name in first], "majority")(None)
    for change in (joining(member(one)), leaving(other)):
        then = change(now)
        before, after = ({each.name for each in epoch.members} for epoch in (now, then))
        assert len(before) // 2 + 1 + len(after) // 2 + 1 > len(before | after)
        now = then


def roster(*given: Member) -> EpochRecord:
    return founding(given, "majority")(None)


@pytest.mark.parametrize(
    ("now", "change", "said"),
    [
        (None, joining(member("agent-1")), "no roster to join"),
        (None, leaving("agent-1"), "no roster to leave"),
        (roster(member("agent-1")), leaving("agent-1"), "1 to 256 members, and not 0"),
        (
            roster(*(member(f"m-{number}") for number in range(MEMBERS_MAX))),
            joining(member("agent-1")),
            "1 to 256 members, and not 257",
        ),
        (None, founding([], "all"), "1 to 256 members, and not 0"),
    ],
)
def test_what_cannot_be_says_why(now: EpochRecord | None, change: Change, said: str) -> None:
    with pytest.raises(RosterError, match=said):
        change(now)


@pytest.mark.parametrize(
    ("after", "may"),
    [
        (roster(member("a"), member("b")), False),  # the same number
        (EpochRecord(epoch=3, members=(member("a"),)), False),
        (EpochRecord(epoch=2, members=(member("a"),)), True),
        (EpochRecord(epoch=2, members=(member("a"), member("b", 1))), True),  # another key
        (EpochRecord(epoch=2, members=(member("a"), member("b"), member("c"))), True),
        (EpochRecord(epoch=2, members=(member("a"), member("b"))), False),  # nothing changed
        (EpochRecord(epoch=2, members=(member("a"), member("c"))), False),  # one for another
        (EpochRecord(epoch=2, members=(member("a"),), rule="all"), False),
    ],
)
def test_what_may_follow(after: EpochRecord, may: bool) -> None:
    assert follows(roster(member("a"), member("b")), after) is may
