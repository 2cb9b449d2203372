"""Who is there, as peers find out: many detectors on one clock, with messages that are late or lost."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.bus.vote_messages import Ack, Ping, PingRequest, Rumour
from squall.services.rules.suspicion import (
    HEALTH_MAX,
    INDIRECT,
    Detector,
    Send,
    Step,
    Timers,
    Turned,
    suspicion_s,
)

TIMERS = Timers()
Delay = Callable[[str, str, float, random.Random], float | None]
"""How long a message takes from one to another at a time; None if it is lost."""


def promptly(source: str, target: str, now_s: float, chance: random.Random) -> float | None:
    return 0.001


class Swarm:
    """Peers on one virtual clock.

    Attributes:
        turned: What each peer took another for, and when.
        sent: Messages by sender.
    """

    def __init__(
        self,
        count: int,
        *,
        seed: int = 1,
        delay: Delay = promptly,
        timers: Timers = TIMERS,
        links: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.names = [f"agent-{n}" for n in range(1, count + 1)]
        self.chance = random.Random(seed)
        self.delay = delay
        self.now_s = 0.0
        self.paused: set[str] = set()
        self.turned: list[tuple[float, str, str, str]] = []
        self.sent: Counter[str] = Counter()
        self._order = itertools.count()
        self._inbox: list[tuple[float, int, str, str, Ping | PingRequest | Ack]] = []
        self.peers = {}
        for name in self.names:
            chance = random.Random(f"{seed}/{name}")
            self.peers[name] = Detector(name, timers=timers, incarnation=1, chance=chance, now_s=0.0)
            self.peers[name].know(self.names, links[name] if links else self.names, 0.0)

    def run(self, until_s: float) -> None:
        while True:
            awake = [name for name in self.names if name not in self.paused]
            due_s, first = min((self.peers[name].due_s(), name) for name in awake)
            if self._inbox and self._inbox[0][0] <= due_s:
                self.now_s, _, source, target, message = heapq.heappop(self._inbox)
                if self.now_s > until_s:
                    heapq.heappush(self._inbox, (self.now_s, next(self._order), source, target, message))
                    break
                if target not in self.paused:
                    self._do(target, self.peers[target].heard(source, message, self.now_s))
            elif due_s <= until_s:
                self.now_s = max(self.now_s, due_s)
                self._do(first, self.peers[first].tick(self.now_s))
            else:
                break
        self.now_s = until_s

    def _do(self, me: str, steps: Sequence[Step]) -> None:
        for step in steps:
            if isinstance(step, Turned):
                self.turned.append((self.now_s, me, step.node, step.standing))
                continue
            self.sent[me] += 1
            takes_s = self.delay(me, step.target, self.now_s, self.chance)
            if takes_s is not None:
                at_s = self.now_s + takes_s
                heapq.heappush(self._inbox, (at_s, next(self._order), me, step.target, step.message))

    def seen(self, node: str) -> set[str]:
        """What the others that run take a node for."""
        return {
            self.peers[name].standing(node) for name in self.names if name != node and name not in self.paused
        }


@given(st.integers(3, 9), st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_where_all_are_well_nobody_is_suspected(count: int, seed: int) -> None:
    swarm = Swarm(count, seed=seed)
    swarm.run(60.0)
    assert swarm.turned == []


@given(st.integers(3, 9), st.integers(0, 10_000))
@settings(max_examples=10, deadline=None)
def test_one_that_stops_is_found_by_all_and_is_back_as_soon_as_it_answers(count: int, seed: int) -> None:
    swarm = Swarm(count, seed=seed)
    swarm.run(5.0)
    gone = swarm.names[-1]
    swarm.paused.add(gone)
    # Each is asked once in a round; whoever finds it tells the others, and the longest suspicion follows.
    swarm.run(5.0 + TIMERS.period_s * count + TIMERS.suspect_s_max + 2 * TIMERS.period_s)
    assert swarm.seen(gone) == {"failed"}
    others = [name for name in swarm.names if name != gone]
    assert {node for _, _, node, _ in swarm.turned} == {gone}
    swarm.paused.clear()
    swarm.run(swarm.now_s + 4 * TIMERS.period_s * count * (1 + HEALTH_MAX))
    assert swarm.seen(gone) == {"alive"}
    assert {swarm.peers[gone].standing(name) for name in others} == {"alive"}


def test_one_that_is_cut_off_doubts_itself_before_it_accuses_many() -> None:
    swarm = Swarm(
        5, delay=lambda source, target, now_s, chance: None if "agent-1" in (source, target) else 0.001
    )
    swarm.run(20.0)
    assert swarm.seen("agent-1") == {"failed"}
    assert swarm.peers["agent-1"].health > 0
    assert all(swarm.peers[name].health <= 1 for name in swarm.names[1:])


def test_one_that_leaves_is_not_suspected() -> None:
    swarm = Swarm(5)
    swarm.run(3.0)
    swarm._do("agent-2", swarm.peers["agent-2"].leave())
    swarm.run(3.1)
    swarm.paused.add("agent-2")
    swarm.run(30.0)
    assert {(node, standing) for _, _, node, standing in swarm.turned} == {("agent-2", "left")}
    assert swarm.seen("agent-2") == {"left"}


def test_gossip_reaches_those_who_have_no_link() -> None:
    names = [f"agent-{n}" for n in range(1, 9)]
    ring = {name: [names[n - 1], names[(n + 1) % 8]] for n, name in enumerate(names)}
    swarm = Swarm(8, links=ring)
    swarm.run(5.0)
    swarm.paused.add("agent-4")
    swarm.run(40.0)
    assert swarm.seen("agent-4") == {"failed"}
    assert {node for _, _, node, _ in swarm.turned} == {"agent-4"}


@pytest.mark.parametrize("is_aware", [True, False])
def test_a_rumour_of_a_peer_that_nobody_knows_adds_nobody(is_aware: bool) -> None:
    swarm = Swarm(3, timers=Timers(is_aware=is_aware))
    rumour = Rumour(node="agent-9", condition="suspect", incarnation=1, by="agent-2")
    ping = Ping(number=1, incarnation=1, gossip=(rumour,))
    steps = swarm.peers["agent-1"].heard("agent-2", ping, 1.0)
    assert [step for step in steps if isinstance(step, Turned)] == []
    assert swarm.peers["agent-1"].heard("agent-9", ping, 1.0) == []


def test_one_that_hears_that_it_is_suspect_says_that_it_is_not() -> None:
    swarm = Swarm(3)
    me = swarm.peers["agent-1"]
    rumour = Rumour(node="agent-1", condition="suspect", incarnation=6, by="agent-3")
    steps = me.heard("agent-2", Ping(number=1, incarnation=1, gossip=(rumour,)), 1.0)
    assert (me.incarnation, me.health) == (7, 1)
    (answer,) = (step.message for step in steps if isinstance(step, Send))
    assert ("agent-1", "alive", 7) in [
        (told.node, told.condition, told.incarnation) for told in answer.gossip
    ]


def test_who_has_left_is_told_of_once_and_an_old_word_of_it_does_not_count() -> None:
    me = Swarm(3).peers["agent-1"]
    assert me.false_alarms == 0
    numbers = itertools.count(1)

    def told(condition: Literal["alive", "left"], incarnation: int) -> list[str]:
        rumour = Rumour(node="agent-3", condition=condition, incarnation=incarnation, by="agent-3")
        steps = me.heard("agent-2", Ping(number=next(numbers), incarnation=1, gossip=(rumour,)), 1.0)
        return [step.standing for step in steps if isinstance(step, Turned) and step.node == "agent-3"]

    told("alive", 5)
    assert told("left", 4) == []
    assert told("left", 5) == ["left"]
    assert told("left", 5) == []
    assert told("left", 6) == []


def slow_link(jitter_s: float) -> Delay:
    """All that agent-1 sends or hears takes up to so much more, each way."""
    return lambda source, target, now_s, chance: (
        0.001 + (chance.uniform(0.0, jitter_s) if "agent-1" in (source, target) else 0.0)
    )


@pytest.mark.parametrize("seed", range(3))
def test_who_has_a_slow_link_is_not_taken_for_dead(seed: int) -> None:
    swarm = Swarm(5, seed=seed, delay=slow_link(0.3))
    swarm.run(60.0)
    assert [node for *_, node, standing in swarm.turned if standing == "failed"] == []


def test_who_is_slow_accuses_less_where_it_knows_that() -> None:
    accused = {}
    for is_aware in (True, False):
        swarm = Swarm(5, delay=slow_link(0.6), timers=Timers(is_aware=is_aware))
        swarm.run(300.0)
        by_it = [node for _, me, node, standing in swarm.turned if me == "agent-1" and standing == "suspect"]
        accused[is_aware] = len(by_it)
    assert accused[True] < accused[False] / 10


@pytest.mark.parametrize("count", [5, 25])
def test_what_a_peer_sends_does_not_grow_with_their_number(count: int) -> None:
    swarm = Swarm(count)
    swarm.run(60.0)
    # One ping a period, and as many answers as one is asked on average.
    assert max(swarm.sent.values()) <= 3 * 60.0 / TIMERS.period_s
    assert sum(swarm.sent.values()) <= 2.1 * count * 60.0 / TIMERS.period_s


def test_a_suspicion_is_the_shorter_the_more_have_it() -> None:
    times = [suspicion_s(n, INDIRECT, TIMERS) for n in range(INDIRECT + 1)]
    assert times == sorted(times, reverse=True)
    assert (times[0], times[-1]) == (TIMERS.suspect_s_max, TIMERS.suspect_s_min)
    assert suspicion_s(0, 0, TIMERS) == TIMERS.suspect_s_min
