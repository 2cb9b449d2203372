"""Which instances should have lanes."""

from __future__ import annotations

from squall.services.rules.placement import Presence

STAGE = ("agent-1", "agent-3", "agent-5")


def test_each_counts_as_there_until_it_has_been_silent_for_long_enough() -> None:
    there = Presence(STAGE, 0.0, absent_s=3.0)
    assert there.members(2.9, among=STAGE, before=STAGE) == STAGE
    there.heard("agent-3", 2.9)
    assert there.absent(3.0) == {"agent-1", "agent-5"}
    assert there.members(3.0, among=STAGE, before=STAGE) == ("agent-3",)
    there.heard("agent-1", 4.0)
    assert there.members(4.0, among=STAGE, before=("agent-3",)) == ("agent-1", "agent-3")


def test_where_nobody_is_heard_of_all_stays_as_it_is() -> None:
    there = Presence(STAGE, 0.0, absent_s=3.0)
    assert there.members(99.0, among=STAGE, before=("agent-5", "agent-1")) == ("agent-1", "agent-5")


def test_who_joins_is_there_once_it_was_heard_and_not_before() -> None:
    there = Presence(STAGE, 0.0, absent_s=3.0)
    more = (*STAGE, "agent-7")
    assert there.members(1.0, among=more, before=STAGE) == STAGE
    assert there.absent(9.0) == set(STAGE)
    there.heard("agent-7", 1.0)
    assert there.members(1.5, among=more, before=STAGE) == more
    assert there.members(1.5, among=STAGE, before=STAGE) == STAGE
