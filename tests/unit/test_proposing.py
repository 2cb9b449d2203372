"""Who proposes: every peer comes to it by itself, and no task waits for one that is gone."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from squall.services.rules.proposing import AGAIN_DEADLINES, Due, Turns, ranking, turn

MEMBERS = tuple(f"agent-{n}" for n in range(1, 10))
members = st.sets(st.sampled_from(MEMBERS), min_size=1).map(lambda names: tuple(sorted(names)))
keys = st.text("abcdef0123456789-", min_size=1, max_size=12)


@given(keys, members, st.sets(st.sampled_from(MEMBERS)))
def test_whomever_a_peer_suspects_it_takes_a_turn_of_its_own(
    key: str, there: tuple[str, ...], suspects: set[str]
) -> None:
    ranked = ranking(key, there)
    turns = [turn(name, ranked, suspects) for name in ranked]
    assert sorted(ranked) == sorted(there)
    assert all(mine is not None and mine <= place for place, mine in enumerate(turns))
    assert [turn(name, ranked, ()) for name in ranked] == [*range(len(ranked))]
    if {*ranked} - suspects:
        assert turns.count(0) >= 1


@given(keys, members, st.sampled_from(MEMBERS))
def test_one_that_leaves_moves_no_key_between_two_others(key: str, there: tuple[str, ...], gone: str) -> None:
    left = tuple(name for name in there if name != gone)
    assert ranking(key, left) == tuple(name for name in ranking(key, there) if name != gone)


def test_keys_are_spread_over_all_members() -> None:
    owners = Counter(ranking(f"a{n:04d}-wti", MEMBERS[:5])[0] for n in range(5000))
    assert min(owners.values()) > 900


def test_who_is_no_member_proposes_nothing() -> None:
    assert turn("agent-9", ranking("k", MEMBERS[:5]), ()) is None


def test_what_is_to_be_proposed_again_waits_for_a_while() -> None:
    key, deadline_s = "a0001-wti", 0.5
    first, second = ranking(key, MEMBERS)[:2]
    owner, next_one = Turns(first, deadline_s), Turns(second, deadline_s)
    for turns in (owner, next_one):
        turns.among(MEMBERS, frozenset())
        turns.add(Due(1, "t", key, 1, 10.0))
        turns.add(Due(2, "again", key, 2, 10.0))
    taken = owner.next(10.0)
    assert taken is not None
    assert taken.task == "t"
    again_s = 10.0 + AGAIN_DEADLINES * deadline_s
    assert owner.next(again_s - 0.01) is None
    assert owner.next_s() == again_s
    assert owner.next(again_s) == Due(2, "again", key, 2, 10.0)
    assert next_one.next(10.0 + deadline_s) == Due(1, "t", key, 1, 10.0)
    assert next_one.next_s() == again_s + deadline_s
