"""Who is there, as peers find out by asking each other. Pure: driven by what comes in, and the time.

    each period: ping one neighbour ──no answer──► ask k others to ping it ──nobody heard it──► suspect
                        │ answers                                                                 │
                        ▼                                                                         ▼
    ALIVE ◄── it says so, with a higher incarnation ── FAILED ◄── the time for that is over ── SUSPECT

What is learned travels as rumours on these messages, each a few times, so that a peer sends as much however
many peers there are. The more of them suspect a peer, the sooner its time is over. A peer that hears nothing
from others, when others would have heard from it, first doubts itself: it asks less often, waits longer, and
so accuses nobody for its own slowness.

What is found out here steers who proposes and raises alarms. Who votes, and how many it takes, stands in the
roster and nowhere else.

Source: SWIM (Das, Gupta, Motivala, 2002); Lifeguard (Dadgar, Phillips, Currey, 2018) for the local health,
the time of a suspicion, and negative acknowledgements.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from squall.bus.vote_messages import Ack, Ping, PingRequest, Rumour
from squall.services.rules.gossip import Rumours, rumour_of

INDIRECT = 3
"""Peers that are asked to ping one that does not answer. Higher means fewer false suspicions where single
links are bad, and more messages."""

HEALTH_MAX = 8
"""The worst that a peer thinks of itself. It waits as often as long as a healthy one, and once more."""

TIMEOUT_SHARE = 0.5
"""Of a period: how long a ping may take before others are asked."""

ERRAND_SHARE = 0.3
"""Of a period: how long one that asks for another waits before it says that it heard nothing; in time for
whoever asked it, which waits for the rest of its period."""

Standing = Literal["alive", "suspect", "failed", "left"]
"""``failed``: suspected for so long that it is taken for dead; a local matter, of which no rumour tells."""


class Send(NamedTuple):
    """A message to a neighbour."""

    target: str
    message: Ping | PingRequest | Ack


class Turned(NamedTuple):
    """A peer is now taken for this."""

    node: str
    standing: Standing


Step = Send | Turned


@dataclass(frozen=True, kw_only=True)
class Timers:
    """The timers of one detector, in seconds.

    Attributes:
        period_s: Between two pings. Higher means fewer messages and slower detection.
        suspect_s_min: The shortest time for which a peer is suspect before it is taken for failed, once
            enough others suspect it.
        suspect_s_max: That time while nobody else does.
        is_aware: Whether it slows down where it is itself slow; to be compared, and never switched off else.
    """

    period_s: float = 0.5
    suspect_s_min: float = 2.0
    suspect_s_max: float = 12.0
    is_aware: bool = True


def suspicion_s(confirmations: int, needed: int, timers: Timers) -> float:
    """How long a peer stays suspect before it is taken for failed.

    Args:
        confirmations: How many others suspect it of their own finding.
        needed: How many of them it takes for the shortest time; with none to be had, that is the time.
    """
    if needed < 1:
        return timers.suspect_s_min
    share = math.log(min(confirmations, needed) + 1) / math.log(needed + 1)
    return timers.suspect_s_max - share * (timers.suspect_s_max - timers.suspect_s_min)


@dataclass(slots=True)
class _Peer:
    standing: Standing = "alive"
    incarnation: int = 0
    since_s: float = 0.0
    accusers: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Probe:
    """A ping of mine that is under way."""

    target: str
    number: int
    sent_s: float
    asked: tuple[str, ...] = ()
    answered: set[str] = field(default_factory=set)


class _Errand(NamedTuple):
    """A ping that I make for another peer."""

    by: str
    number: int
    target: str
    due_s: float


class Detector:
    """What one peer knows of the others.

    Args:
        me: Itself.
        incarnation: Its own, higher than any it has had.
        chance: Chooses whom to ask; the same choices for the same seed.

    Attributes:
        incarnation: Its own. A rumour that it is suspect makes it begin another.
        health: How slow it takes itself for: 0 is well, at most `HEALTH_MAX`.
        false_alarms: How often it learned that one whom it suspected of its own finding was there.
    """

    def __init__(
        self,
        me: str,
        *,
        timers: Timers,
        incarnation: int,
        chance: random.Random,
        now_s: float,
    ) -> None:
        self._me = me
        self._timers = timers
        self._chance = chance
        self._neighbours: list[str] = []
        self._peers: dict[str, _Peer] = {}
        self._round: list[str] = []
        self._probe: _Probe | None = None
        self._errands: dict[int, _Errand] = {}
        self._numbers = 0
        self._next_s = now_s + chance.uniform(0.0, timers.period_s)  # not all at once
        self._rumours = Rumours()
        self.incarnation = incarnation
        self.health = 0
        self.false_alarms = 0

    def know(self, peers: Iterable[str], neighbours: Iterable[str], now_s: float) -> None:
        """Who there is, by the roster, and whom of them this one has links with. Nobody else adds a peer."""
        self._peers = {
            name: self._peers.get(name) or _Peer(since_s=now_s) for name in sorted({*peers} - {self._me})
        }
        self._neighbours = [name for name in self._peers if name in {*neighbours}]

    def standing(self, node: str) -> Standing:
        """What a peer is taken for; one that was never heard of is alive."""
        return self._peers[node].standing if node in self._peers else "alive"

    def suspects(self) -> frozenset[str]:
        """Those that are not taken to be there."""
        return frozenset(name for name, peer in self._peers.items() if peer.standing != "alive")

    # Time passes.

    def due_s(self) -> float:
        """When `tick` has something to do next, if nothing comes in before."""
        times = [self._next_s, *(errand.due_s for errand in self._errands.values())]
        if self._probe is not None and not self._probe.asked:
            times.append(self._probe.sent_s + self._timeout_s())
        times += [self._failed_s(peer) for peer in self._peers.values() if peer.standing == "suspect"]
        return min(times)

    def tick(self, now_s: float) -> list[Step]:
        """Do what is due."""
        steps: list[Step] = []
        for number, errand in list(self._errands.items()):
            if now_s >= errand.due_s:  # nobody there: say so, so that whoever asked knows its link works
                del self._errands[number]
                steps.append(self._answer(errand.by, errand.number, errand.target, heard=False))
        for name, peer in self._peers.items():
            if peer.standing == "suspect" and now_s >= self._failed_s(peer):
                peer.standing, peer.since_s = "failed", now_s
                steps.append(Turned(name, "failed"))
        probe = self._probe
        if probe is not None and not probe.asked and now_s >= probe.sent_s + self._timeout_s():
            steps += self._ask_others(probe)
        if now_s >= self._next_s:
            if probe is not None:
                steps += self._unanswered(probe, now_s)
            steps += self._ping_next(now_s)
            self._next_s = now_s + self._period_s()
        return steps

    def _slowness(self) -> int:
        return 1 + self.health if self._timers.is_aware else 1

    def _period_s(self) -> float:
        return self._timers.period_s * self._slowness()

    def _timeout_s(self) -> float:
        return TIMEOUT_SHARE * self._period_s()

    def _failed_s(self, peer: _Peer) -> float:
        needed = min(INDIRECT, len(self._peers) - 1)
        return peer.since_s + suspicion_s(len(peer.accusers) - 1, needed, self._timers)

    def _feel(self, change: int) -> None:
        self.health = min(max(0, self.health + change), HEALTH_MAX)

    def _ping_next(self, now_s: float) -> list[Step]:
        target = self._pick()
        if target is None:
            self._probe = None
            return []
        self._numbers += 1
        self._probe = _Probe(target, self._numbers, now_s)
        return [self._ping(target, self._numbers)]

    def _pick(self) -> str | None:
        """Each neighbour in turn, in an order that is drawn anew for each round; none that left."""
        there = [name for name in self._neighbours if self._peers[name].standing != "left"]
        if not there:
            return None
        self._round = [name for name in self._round if name in there]
        if not self._round:
            self._round = self._chance.sample(there, len(there))
        return self._round.pop()

    def _ask_others(self, probe: _Probe) -> list[Step]:
        others = [
            name
            for name in self._neighbours
            if name != probe.target and self._peers[name].standing == "alive"
        ]
        probe.asked = tuple(self._chance.sample(others, min(INDIRECT, len(others)))) or (self._me,)
        return [
            Send(
                name,
                PingRequest(
                    number=probe.number,
                    target=probe.target,
                    incarnation=self.incarnation,
                    gossip=self._gossip(name),
                ),
            )
            for name in probe.asked
            if name != self._me
        ]

    def _unanswered(self, probe: _Probe, now_s: float) -> list[Step]:
        """Nobody has heard of a peer in time. If those that were asked say nothing either, it may be me."""
        self._feel(len(probe.asked) - len(probe.answered))
        if probe.target not in self._peers:
            return []
        return self._suspect(probe.target, self._peers[probe.target].incarnation, self._me, now_s)

    # What comes in. Who said it is known from where it came in, and is a neighbour.

    def heard(self, sender: str, message: Ping | PingRequest | Ack, now_s: float) -> list[Step]:
        """A neighbour has said something."""
        if sender not in self._neighbours:
            return []
        steps = [step for rumour in message.gossip for step in self._rumoured(sender, rumour, now_s)]
        steps += self._alive(sender, message.incarnation, now_s)
        match message:
            case Ping():
                steps.append(self._answer(sender, message.number, self._me, heard=True))
            case PingRequest() if message.target not in self._neighbours:
                steps.append(self._answer(sender, message.number, message.target, heard=False))
            case PingRequest():
                self._numbers += 1
                due_s = now_s + ERRAND_SHARE * self._timers.period_s
                self._errands[self._numbers] = _Errand(sender, message.number, message.target, due_s)
                steps.append(self._ping(message.target, self._numbers))
            case Ack():
                self._acknowledged(sender, message, steps)
        return steps

    def _acknowledged(self, sender: str, ack: Ack, steps: list[Step]) -> None:
        errand = self._errands.get(ack.number)
        if errand is not None and errand.target == sender:
            del self._errands[ack.number]
            steps.append(self._answer(errand.by, errand.number, errand.target, heard=True))
            return
        probe = self._probe
        if probe is None or probe.number != ack.number:
            return
        if sender == probe.target or (ack.heard and sender in probe.asked):
            self._probe = None
            self._feel(-1)
        elif sender in probe.asked:
            probe.answered.add(sender)

    def _ping(self, target: str, number: int) -> Send:
        ping = Ping(number=number, incarnation=self.incarnation, gossip=self._gossip(target))
        return Send(target, ping)

    def _answer(self, target: str, number: int, node: str, *, heard: bool) -> Send:
        ack = Ack(
            number=number,
            node=node,
            incarnation=self.incarnation,
            heard=heard,
            gossip=self._gossip(target),
        )
        return Send(target, ack)

    # What is said of whom.

    def leave(self) -> list[Step]:
        """Tell a few, who tell the others, that this one goes of its own accord."""
        self._rumours.spread(rumour_of(self._me, "left", self.incarnation, self._me))
        there = [name for name in self._neighbours if self._peers[name].standing == "alive"]
        return [self._ping(name, 0) for name in there[:INDIRECT]]

    def _rumoured(self, sender: str, rumour: Rumour, now_s: float) -> list[Step]:
        if rumour.node == self._me:
            if rumour.condition != "alive" and rumour.incarnation >= self.incarnation:
                self.incarnation = rumour.incarnation + 1
                self._feel(1)
                self._rumours.spread(rumour_of(self._me, "alive", self.incarnation, self._me))
            return []
        if rumour.node not in self._peers:
            return []  # gossip adds nobody: who there is, the roster says
        match rumour.condition:
            case "alive":
                return self._alive(rumour.node, rumour.incarnation, now_s)
            case "suspect":
                return self._suspect(rumour.node, rumour.incarnation, rumour.by, now_s)
            case "left":
                return self._left(rumour.node, rumour.incarnation, now_s)

    def _alive(self, node: str, incarnation: int, now_s: float) -> list[Step]:
        peer = self._peers[node]
        if incarnation <= peer.incarnation:
            return []
        was, peer.incarnation = peer.standing, incarnation
        self._rumours.spread(rumour_of(node, "alive", incarnation, node))
        if was == "alive":
            return []
        if self._me in peer.accusers:
            self.false_alarms += 1
        peer.standing, peer.since_s = "alive", now_s
        peer.accusers.clear()
        return [Turned(node, "alive")]

    def _suspect(self, node: str, incarnation: int, by: str, now_s: float) -> list[Step]:
        peer = self._peers[node]
        if incarnation < peer.incarnation or peer.standing in ("failed", "left"):
            return []
        peer.incarnation = incarnation
        if peer.standing == "suspect":
            if by not in peer.accusers and len(peer.accusers) <= INDIRECT:
                peer.accusers.add(by)
                self._rumours.spread(rumour_of(node, "suspect", incarnation, by))
            return []
        peer.standing, peer.since_s = "suspect", now_s
        peer.accusers = {by}
        self._rumours.spread(rumour_of(node, "suspect", incarnation, by))
        return [Turned(node, "suspect")]

    def _left(self, node: str, incarnation: int, now_s: float) -> list[Step]:
        peer = self._peers[node]
        if incarnation < peer.incarnation or peer.standing == "left":
            return []
        peer.standing, peer.incarnation, peer.since_s = "left", incarnation, now_s
        self._rumours.spread(rumour_of(node, "left", incarnation, node))
        return [Turned(node, "left")]

    def _gossip(self, target: str) -> tuple[Rumour, ...]:
        """What to tell a neighbour: first of all, that it is suspected itself."""
        suspected = self._peers.get(target)
        first = None
        if suspected is not None and suspected.standing in ("suspect", "failed"):
            by = min(suspected.accusers, default=self._me)
            first = rumour_of(target, "suspect", suspected.incarnation, by)
        return self._rumours.told(len(self._peers) + 1, first)
