"""A circuit breaker: whether a stage may go on calling what keeps failing it. Pure.

    CLOSED ──trip──► OPEN ──waited──► HALF_OPEN ──passed──► CLOSED
                      ▲                   │ failed
                      └───────────────────┘ waits longer each time

    from any state an operator may go to FORCED_OPEN, DISABLED or OBSERVE, and back by ``resume``

The rule is told how calls end, one by one or counted by somebody else, and answers whether another may
begin. One that opens is given the time at which it ends: whoever holds that time, a broker for instance,
needs nobody to tell it that half-open has begun. What a task does to itself (poison, a bug, being shed) says
nothing about what the stage depends on, and is not counted.

Source: the states and the sliding window follow resilience4j and Polly; the growing waits are ours.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

State = Literal["closed", "open", "half-open", "forced-open", "disabled", "observe"]

Event = Literal["trip", "waited", "passed", "failed", "told", "force-open", "disable", "observe", "resume"]
"""
``trip``: too many calls of the window failed, or were slow.
``waited``: the time of an open breaker is over.
``passed``, ``failed``: what the probes of a half-open breaker came to.
``told``: the breaker that all instances share stands so.
``force-open``, ``disable``, ``observe``, ``resume``: an operator said so.
"""

Verb = Literal["force-open", "disable", "observe", "resume"]
"""What an operator can say."""

VERBS: Final[Sequence[Verb]] = ("force-open", "disable", "observe", "resume")

End = Literal["ok", "transient", "poison", "bug", "shed"]
"""How a call ended. Only ``transient`` is a failure of what is called."""

_OPERATED: Mapping[Event, State] = {
    "force-open": "forced-open",
    "disable": "disabled",
    "observe": "observe",
}

TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    "closed": {"trip": "open", "resume": "closed", **_OPERATED},
    "open": {"waited": "half-open", "resume": "open", **_OPERATED},
    "half-open": {"passed": "closed", "failed": "open", "resume": "half-open", **_OPERATED},
    # What was kept from being called is tried first; what was called all the time needs no trial.
    "forced-open": {"resume": "half-open", **_OPERATED},
    "disabled": {"resume": "closed", **_OPERATED},
    "observe": {"trip": "observe", "resume": "closed", **_OPERATED},
}

SLOTS = 30
"""Parts of a window. It forgets a whole part at a time, so it is that much shorter than it is called."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a breaker opens, and for how long.

    Attributes:
        window_s: How far back calls count. Longer trips later and forgives less soon.
        calls_min: Calls that a window must have to be judged. More is blinder where there is little traffic.
        failures_share: Opens from this share of failed calls on.
        failures_in_a_row: Opens after so many failed calls without another between them, however many ended
            well before. Where calls that fail are made again more slowly than others are made at all, their
            share rises late. Lower trips sooner where calls fail by chance.
        slow_share: Opens from this share of slow calls on.
        slow_s: A call that took longer was slow.
        wait_s: How long it is open the first time; each time that follows is twice as long.
        wait_max_s: The longest it is open.
        jitter_share: By how much that is lengthened or shortened at random, so that breakers of one cause do
            not probe together.
        probes: Calls that a half-open breaker lets through, all in all.
        probe_s: How long they may take together, from when the first begins.
        pass_share: Closes from this share of probes on that ended well.
        clean_s: Closed for so long, it forgets how often it has been open.

    Raises:
        ValueError: They contradict each other.
    """

    window_s: float = 30.0
    calls_min: int = 20
    failures_share: float = 0.5
    failures_in_a_row: int = 10
    slow_share: float = 0.8
    slow_s: float = 5.0
    wait_s: float = 5.0
    wait_max_s: float = 60.0
    jitter_share: float = 0.2
    probes: int = 3
    probe_s: float = 10.0
    pass_share: float = 2 / 3
    clean_s: float = 120.0

    def __post_init__(self) -> None:
        for name in ("window_s", "slow_s", "wait_s", "probe_s", "clean_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0")
        for name in ("failures_share", "slow_share", "pass_share"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1")
        if not 0 <= self.jitter_share < 1:
            raise ValueError("jitter_share must be at least 0 and below 1")
        if self.wait_max_s < self.wait_s:
            raise ValueError("wait_max_s is shorter than wait_s")
        if min(self.calls_min, self.probes, self.failures_in_a_row) < 1:
            raise ValueError("calls_min, failures_in_a_row and probes must be at least 1")

    def longest_s(self, opened: int) -> float:
        """The longest that a breaker stays open for the ``opened``-th time, from 1."""
        return self.plain_s(opened) * (1 + self.jitter_share)

    def plain_s(self, opened: int) -> float:
        """The same without its jitter."""
        doubled: float = self.wait_s * 2.0 ** min(opened - 1, 32)
        return min(doubled, self.wait_max_s)


class Permit(NamedTuple):
    """Leave to make one call; it is handed back with how the call ended.

    Attributes:
        period: Of the breaker's life. What began in an earlier one says nothing of this one.
        is_probe: Whether it is one of the few calls on which a half-open breaker decides.
    """

    period: int
    is_probe: bool


class Changed(NamedTuple):
    """One transition.

    Attributes:
        until_s: When an open breaker ends by itself; None in every other state.
        opened: How often it has been open without being clean since.
        why: In one sentence without its full stop.
    """

    at_s: float
    before: State
    event: Event
    after: State
    until_s: float | None
    opened: int
    why: str


class Counts(NamedTuple):
    """How many calls ended: all that say something, those that failed, and those that were slow."""

    calls: int = 0
    failed: int = 0
    slow: int = 0

    def plus(self, other: Counts, sign: int = 1) -> Counts:
        return Counts(*(mine + sign * theirs for mine, theirs in zip(self, other, strict=True)))


class Window:
    """What ended within the last so many seconds, kept in a fixed number of parts however many calls."""

    def __init__(self, length_s: float) -> None:
        self._slot_s = length_s / SLOTS
        self._slots: deque[tuple[int, Counts]] = deque()
        self._total = Counts()

    def add(self, now_s: float, counts: Counts) -> None:
        self._total = self._total.plus(counts)
        slot = int(now_s // self._slot_s)
        if self._slots and self._slots[-1][0] >= slot:
            slot, before = self._slots.pop()
            counts = before.plus(counts)
        self._slots.append((slot, counts))

    def total(self, now_s: float) -> Counts:
        oldest = int(now_s // self._slot_s) - SLOTS
        while self._slots and self._slots[0][0] <= oldest:
            _, gone = self._slots.popleft()
            self._total = self._total.plus(gone, -1)
        return self._total

    def clear(self) -> None:
        self._slots.clear()
        self._total = Counts()


class Breaker:
    """One breaker, by a monotonic clock that the caller keeps.

    Args:
        chance: Where the jitter of its waits comes from.
        probes: How many of the settings' probes this one may make; fewer where several share them.

    Attributes:
        probes: How many probes it may make.
        state: Where it stands, as of the last time that it was told of.
        until_s: When an open breaker ends by itself; None in every other state.
        opened: How often it has been open without being clean since.
    """

    def __init__(
        self, settings: Settings, chance: random.Random, now_s: float, *, probes: int | None = None
    ) -> None:
        self._settings = settings
        self._chance = chance
        self.probes = settings.probes if probes is None else probes
        self._window = Window(settings.window_s)
        self._period = 0
        self._since_s = now_s
        self._begun = self._passed = self._failed = self._row = 0
        self._first_probe_s: float | None = None
        self.state: State = "closed"
        self.until_s: float | None = None
        self.opened = 0

    def is_current(self, permit: Permit) -> bool:
        """Whether a call that was let through then says something of how it stands now."""
        return permit.period == self._period

    @property
    def probing(self) -> int:
        """Probes that have begun and not ended."""
        return max(0, self._begun - self._passed - self._failed)

    def look(self, now_s: float) -> list[Changed]:
        """What time alone has changed; to be asked before anything else is told of a time."""
        if self.state == "open" and self.until_s is not None and now_s >= self.until_s:
            return [self._go(now_s, "waited", "its time is over")]
        if self.state == "half-open" and self._first_probe_s is not None:
            if now_s - self._first_probe_s >= self._settings.probe_s:
                unended = self.probes - self._passed - self._failed
                return [self._go(now_s, "failed", f"{unended} probes did not end in time")]
        elif self.state == "closed" and self.opened and now_s - self._since_s >= self._settings.clean_s:
            self.opened = 0
        return []

    def admit(self, now_s: float) -> Permit | None:
        """Leave to make a call now; None if it must not be made."""
        if self.state in ("open", "forced-open"):
            return None
        if self.state != "half-open":
            return Permit(self._period, is_probe=False)
        if self._begun >= self.probes:
            return None
        self._begun += 1
        if self._first_probe_s is None:
            self._first_probe_s = now_s
        return Permit(self._period, is_probe=True)

    def ended(self, now_s: float, permit: Permit, end: End, took_s: float) -> list[Changed]:
        """A call is over."""
        if permit.period != self._period:
            return []
        counts = self.counts_of(end, took_s)
        if not permit.is_probe:
            return self.counted(now_s, counts)
        if counts.calls == 0:
            self._begun -= 1
            if self._begun == 0:
                self._first_probe_s = None
            return []
        bad = bool(counts.failed or counts.slow)
        return self._probed(now_s, int(not bad), int(bad))

    def counted(self, now_s: float, counts: Counts) -> list[Changed]:
        """Calls are over that somebody else has counted; where this one is half-open, they are probes."""
        if not counts.calls:
            return []
        if self.state == "half-open":
            bad = max(counts.failed, counts.slow)
            return self._probed(now_s, counts.calls - bad, bad)
        if self.state not in ("closed", "observe"):
            return []
        self._window.add(now_s, counts)
        self._row = self._row + counts.failed if counts.failed == counts.calls else 0
        why = judged(self._settings, self._window.total(now_s))
        if not why and self._row >= self._settings.failures_in_a_row:
            why = f"{self._row} calls failed one after the other"
        return [self._go(now_s, "trip", why)] if why else []

    def _probed(self, now_s: float, passed: int, failed: int) -> list[Changed]:
        self._passed += passed
        self._failed += failed
        ended = self._passed + self._failed
        if ended < self.probes:
            return []
        event: Event = "passed" if self._passed >= self._settings.pass_share * ended else "failed"
        return [self._go(now_s, event, f"{self._passed} of {ended} probes ended well")]

    def follow(self, now_s: float, state: State, until_s: float | None, opened: int) -> list[Changed]:
        """Stand as the breaker that all instances share does, of which there is news.

        Args:
            until_s: When it ends, if it is open.
        """
        if (state, until_s) == (self.state, self.until_s):
            return []
        before, self.state = self.state, state
        self._begin(now_s)
        self.until_s, self.opened = until_s, opened
        told = Changed(now_s, before, "told", state, until_s, opened, "the shared breaker stands so")
        return [told, *self.look(now_s)]

    def operate(self, now_s: float, verb: Verb) -> list[Changed]:
        """An operator says what it is to do. Said again, it changes nothing."""
        after = TRANSITIONS[self.state][verb]
        return [] if after == self.state else [self._go(now_s, verb, "an operator said so")]

    def counts_of(self, end: End, took_s: float) -> Counts:
        """What a call that ended counts."""
        if end not in ("ok", "transient"):
            return Counts()
        return Counts(1, int(end == "transient"), int(took_s > self._settings.slow_s))

    def _go(self, now_s: float, event: Event, why: str) -> Changed:
        before, self.state = self.state, TRANSITIONS[self.state][event]
        self._begin(now_s)
        if self.state == "open":
            self.opened += 1
            jitter = self._chance.uniform(-1, 1) * self._settings.jitter_share
            self.until_s = now_s + self._settings.plain_s(self.opened) * (1 + jitter)
        return Changed(now_s, before, event, self.state, self.until_s, self.opened, why)

    def _begin(self, now_s: float) -> None:
        """A period of its life begins."""
        self._period += 1
        self._since_s = now_s
        self._window.clear()
        self._begun = self._passed = self._failed = self._row = 0
        self._first_probe_s = None
        self.until_s = None


def judged(settings: Settings, counts: Counts) -> str:
    """Why a window must open a breaker, in words; empty if it need not."""
    calls, failed, slow = counts
    if calls < settings.calls_min:
        return ""
    if failed >= settings.failures_share * calls:
        return f"{failed} of {calls} calls failed"
    if slow >= settings.slow_share * calls:
        return f"{slow} of {calls} calls took longer than {settings.slow_s:g} s"
    return ""


class Share(NamedTuple):
    """What one instance may do of a shared breaker's probes.

    Attributes:
        probes: How many it may make; at least one, as it would never learn otherwise that it may close.
        turn: In which turn, from 0: who has none of the first has its own once those before are over.
    """

    probes: int
    turn: int


def share(probes: int, instances: Sequence[str], name: str) -> Share:
    """The share of one instance.

    Args:
        probes: Of all instances together.
        instances: All of them, in one order for all. One that is not among them has come since, and has a
            turn after all of them.
    """
    if name not in instances:
        return Share(1, -(-len(instances) // probes))
    place = instances.index(name)
    return Share(max(1, probes // len(instances) + (place < probes % len(instances))), place // probes)
