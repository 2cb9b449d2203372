"""Lanes change hands: no order of steps gives one two owners, and in the end each is where it should be.

The broker is a table here, which refuses what the real one refuses. What the steps do to a real one, see
`tests/integration/test_lane_moves.py`.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.bus.errors import InvalidNameError
from squall.bus.lanes import (
    ALL,
    NONE,
    Clear,
    Drains,
    Holder,
    Lanes,
    Make,
    Remove,
    Route,
    Shrink,
    Stamp,
    Step,
    is_settled,
    spread,
    steps,
)

NAMES = tuple(f"agent-{n}" for n in range(1, 6))
members = st.sets(st.sampled_from(NAMES), min_size=1, max_size=5)


def route(epoch: int, *names: str, fast: bool = False) -> Route:
    return Route(epoch=epoch, owners=spread(names), fast=fast)


@dataclass
class Table:
    """Consumers, and which lanes each process holds messages of, whether or not its consumer knows."""

    holders: dict[str, Holder] = field(default_factory=dict)
    held: Counter[tuple[str, str]] = field(default_factory=Counter)
    place: int = 0

    def take(self, step: Step, epoch: int) -> None:
        before = self.holders.get(step.name)
        match step:
            case Remove(name=name):
                self.holders.pop(name, None)
            case Stamp(name=name, lanes=lanes):
                if before is not None:
                    assert lanes == before.lanes
                    assert not before.left
                    self.holders[name] = msgspec.structs.replace(before, epoch=epoch)
            case Shrink(name=name, lanes=lanes, left=left) | Clear(name=name, lanes=lanes, left=left):
                if before is not None:
                    assert lanes <= before.lanes  # in place nothing may grow
                    self.holders[name] = Holder(
                        name=name,
                        lanes=lanes,
                        epoch=epoch,
                        left=left,
                        delivered=before.delivered,
                        floor=before.floor,
                        pending=before.pending,
                    )
            case Make(name=name, lanes=lanes):
                others = (each.lanes for each in self.holders.values() if each.name != name)
                if not any(lanes & theirs for theirs in others):
                    self.holders[name] = Holder(name=name, lanes=lanes, epoch=epoch)

    def owners(self, lane: str) -> list[str]:
        return [name for name, holder in self.holders.items() if lane in holder.lanes]

    def deliver(self, chance: random.Random) -> None:
        """A message of some lane goes to who has it."""
        lane = str(chance.randrange(100))
        for name in self.owners(lane):
            self.place += 1
            self.held[name, lane] += 1
            self._change(name, self.holders[name], delivered=self.place, pending=1)

    def acknowledge(self, name: str) -> None:
        """One is done with all that it holds."""
        for key in [key for key in self.held if key[0] == name]:
            del self.held[key]
        if name in self.holders:
            holder = self.holders[name]
            self._change(name, holder, floor=holder.delivered, pending=-holder.pending)

    def _change(self, name: str, holder: Holder, *, pending: int, delivered: int = 0, floor: int = 0) -> None:
        self.holders[name] = Holder(
            name=name,
            lanes=holder.lanes,
            epoch=holder.epoch,
            left=holder.left,
            delivered=max(holder.delivered, delivered),
            floor=max(holder.floor, floor),
            pending=holder.pending + pending,
        )


def test_lanes_are_spread_and_one_that_leaves_moves_none_between_two_others() -> None:
    before, after = spread(NAMES), spread(NAMES[1:])
    assert min(Counter(before).values()) >= 10
    assert all(mine == theirs for mine, theirs in zip(before, after, strict=True) if mine != NAMES[0])
    assert spread(NAMES[::-1]) == before


def test_a_route_has_an_owner_for_every_lane_and_their_names_are_names() -> None:
    assert sum(map(len, route(1, *NAMES).wanted().values())) == len(ALL)
    assert route(1, *NAMES).moves(route(2, *NAMES)) == 0
    assert route(1, NAMES[0]).moves(route(2, NAMES[1])) == len(ALL)
    with pytest.raises(InvalidNameError):
        Route(epoch=1, owners=("agent.1",) * 100)


def test_where_there_is_nothing_all_consumers_are_made() -> None:
    first = route(1, *NAMES[:2])
    made = steps(first, [])
    assert {step.name: step.lanes for step in made if isinstance(step, Make)} == first.wanted()


def two(left: Lanes = NONE, *, delivered: int = 0, floor: int = 0, pending: int = 0) -> list[Holder]:
    """One consumer that gave up lanes, which another is to have."""
    giver = Holder(
        name=NAMES[0],
        lanes=ALL - left,
        epoch=2,
        left=left,
        delivered=delivered,
        floor=floor,
        pending=pending,
    )
    return [giver]


def test_a_lane_is_taken_first_then_waited_for_then_given_then_nothing_is_left() -> None:
    moved = route(2, *NAMES[:2])
    gives, gets = (moved.wanted()[name] for name in NAMES[:2])
    before = Holder(name=NAMES[0], lanes=ALL, epoch=1, delivered=7, floor=3, pending=4)
    assert steps(moved, [before]) == [Shrink(name=NAMES[0], lanes=gives, left=gets)]
    waits = Holder(name=NAMES[0], lanes=gives, epoch=2, left=gets, delivered=7, floor=3, pending=4)
    assert steps(moved, [waits]) == []
    assert not is_settled(moved, [waits])
    assert steps(moved, [waits], {NAMES[0]}) == [
        Clear(name=NAMES[0], lanes=gives),
        Make(name=NAMES[1], lanes=gets),
    ]
    there = [Holder(name=name, lanes=lanes, epoch=2) for name, lanes in moved.wanted().items()]
    assert steps(moved, there) == []
    assert is_settled(moved, there)


def test_a_fast_move_waits_for_nobody() -> None:
    back = route(2, NAMES[1], fast=True)
    full = Holder(name=NAMES[0], lanes=ALL, epoch=1, delivered=7, floor=3, pending=4)
    assert steps(back, [full]) == [Shrink(name=NAMES[0], lanes=NONE, left=NONE)]
    empty = Holder(name=NAMES[0], epoch=2, delivered=7, floor=3, pending=4)
    assert steps(back, [empty]) == [Remove(name=NAMES[0]), Make(name=NAMES[1], lanes=ALL)]


def test_what_is_given_up_now_is_waited_for_though_what_was_given_up_before_is_drained() -> None:
    moved = route(3, NAMES[1])
    some = frozenset({"1", "2"})
    [giver] = two(some, delivered=5, floor=5)
    [step] = [each for each in steps(moved, [giver], {NAMES[0]}) if isinstance(each, Shrink)]
    assert step == Shrink(name=NAMES[0], lanes=NONE, left=ALL - some)


def test_one_that_must_grow_keeps_what_it_holds_of_lanes_that_it_gave_up() -> None:
    swapped = Route(epoch=2, owners=(NAMES[1],) + (NAMES[0],) * 99)
    holders = [
        Holder(name=NAMES[0], lanes=NONE, epoch=2, left=frozenset({"0"}), delivered=4, floor=3, pending=1),
        Holder(name=NAMES[1], lanes=NONE, epoch=2),
    ]
    assert steps(swapped, holders) == []
    assert {step.name for step in steps(swapped, holders, {NAMES[0]}) if isinstance(step, Make)} == {NAMES[1]}


def test_a_lane_that_comes_back_before_it_was_given_to_another_is_not_waited_for() -> None:
    [giver] = two(frozenset({"5"}), delivered=9, floor=1, pending=3)
    assert steps(route(3, NAMES[0]), [giver]) == [Clear(name=NAMES[0], lanes=ALL - {"5"})]
    back = Holder(name=NAMES[0], lanes=ALL - {"5"}, epoch=3, delivered=9, floor=1, pending=3)
    assert steps(route(3, NAMES[0]), [back]) == [Make(name=NAMES[0], lanes=ALL)]


def test_a_consumer_that_lost_its_filters_is_given_its_own_again() -> None:
    two_of_them = route(1, *NAMES[:2])
    wanted = two_of_them.wanted()
    holders = [
        Holder(name=NAMES[0], lanes=ALL, epoch=1),
        Holder(name=NAMES[1], lanes=wanted[NAMES[1]], epoch=1),
    ]
    assert steps(two_of_them, holders) == [
        Shrink(name=NAMES[0], lanes=wanted[NAMES[0]], left=wanted[NAMES[1]])
    ]


@pytest.mark.parametrize(
    ("seen", "drained"),
    [
        ([(9, 4, 3)], [False]),
        ([(9, 4, 3), (20, 8, 3)], [False, False]),
        ([(9, 4, 3), (20, 9, 3)], [False, True]),  # under a load that goes on
        ([(9, 4, 3), (9, 4, 0)], [False, True]),
        ([(0, 0, 0)], [True]),
    ],
)
def test_it_is_drained_once_all_is_done_that_it_had_when_it_gave_up_the_lanes(
    seen: list[tuple[int, int, int]], drained: list[bool]
) -> None:
    drains = Drains(10.0)
    for (delivered, floor, pending), expected in zip(seen, drained, strict=True):
        there = two(frozenset({"1"}), delivered=delivered, floor=floor, pending=pending)
        assert (NAMES[0] in drains.observe(there, 0.0)) == expected


def test_one_that_has_died_is_waited_for_as_long_as_the_patience_lasts() -> None:
    drains = Drains(10.0)
    there = two(frozenset({"1"}), delivered=9, floor=4, pending=3)
    assert [drains.observe(there, now_s) for now_s in (0.0, 9.9, 10.0)] == [set(), set(), {NAMES[0]}]
    more = two(frozenset({"1", "2"}), delivered=12, floor=4, pending=3)
    assert drains.observe(more, 11.0) == set()  # what it gave up meanwhile is waited for anew


moves = st.lists(
    st.tuples(members, st.booleans(), st.integers(0, 12)),
    min_size=1,
    max_size=6,
)


@settings(max_examples=60)
@given(moves, st.integers(0, 2**32))
def test_whatever_routes_follow_each_other_and_wherever_whoever_moves_dies(
    wanted: list[tuple[set[str], bool, int]], seed: int
) -> None:
    """Each route is followed for so many steps, then somebody else goes on with the next one."""
    table, chance = Table(), random.Random(seed)
    for epoch, (names, fast, followed) in enumerate(wanted, 1):
        last = epoch == len(wanted)
        drains = Drains(1e9)
        to = route(epoch, *names, fast=fast)
        taken = 0
        for looked in itertools.count():
            assert looked < 300, "it does not settle"
            if is_settled(to, table.holders.values()):
                break
            todo = steps(to, table.holders.values(), drains.observe(table.holders.values(), 0.0))
            for step in todo:
                if not last and taken == followed:
                    break
                if isinstance(step, Make) and not to.fast:
                    new = step.lanes - table.holders.get(step.name, Holder(name="none")).lanes
                    # Who held messages of it before is done with them, unless somebody was in haste.
                    if not any(earlier[1] for earlier in wanted[:epoch]):
                        assert not [key for key in table.held if key[1] in new and key[0] != step.name]
                table.take(step, epoch)
                taken += 1
                assert all(len(table.owners(lane)) <= 1 for lane in ALL)
            if not last and taken == followed:
                break
            for _ in range(chance.randrange(4)):
                table.deliver(chance)
            for name in NAMES:
                if chance.random() < 0.5:
                    table.acknowledge(name)
        if last:
            assert {name: holder.lanes for name, holder in table.holders.items()} == to.wanted()
