"""Who proposes: every peer comes to it by itself, and no task waits for one that is gone."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from squall.services.rules.proposing import ranking, turn

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
