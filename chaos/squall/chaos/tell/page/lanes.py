"""What happened when and to whom, in seconds since the first intended submission. Pure.

History ─┬─► Window     from when to when it is drawn
         ├─► Strike     one fault, on however many nodes, with the number it has throughout the page
         └─► Lane       one node: its lives, when it led, the strikes on it
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from squall.chaos.evidence.facts import Injected
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Resign
from squall.chaos.judge.succession import terms

ENDING = frozenset({"crash", "restart"})
"""Faults that end an incarnation."""

LANES_MAX = 40
"""Beyond, nodes to which nothing happened are not drawn."""


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of time that is drawn.

    Attributes:
        origin_s: When the first task was due; without one, the first time stamp there is.
        length_s: Until the run was read back, or the last that was filled; more than 0.
    """

    origin_s: float
    length_s: float

    def at(self, time_s: float) -> float:
        return time_s - self.origin_s


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault as it is told.

    Attributes:
        number: From 1, in the order of their beginnings.
        start_s, end_s: When it was sent, and seen to be healed; the end of the window while it lasts.
    """

    number: int
    kind: str
    target: str
    nodes: tuple[str, ...]
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Span:
    """An incarnation, or a time of leading (then ``name`` is the term)."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Lane:
    """One node."""

    node: str
    role: str
    lives: tuple[Span, ...]
    led: tuple[Span, ...]
    strikes: tuple[Strike, ...]

    @property
    def eventful(self) -> bool:
        return len(self.lives) > 1 or bool(self.led) or bool(self.strikes)


def window(history: History) -> Window:
    """The window of a run; a second of nothing if it has no time stamps."""
    due = [task.intended_s for task in history.submissions.values() if task.intended_s is not None]
    origin_s = min(due, default=history.first_s or 0.0)
    filled = [times[-1] for times in history.venue.fills.values()] if history.venue is not None else []
    over_s = history.last_s if history.read_back_s is None else history.read_back_s
    ends = [*due, *filled, *([] if over_s is None else [over_s]), *_fault_times(history)]
    length_s = max(ends, default=origin_s) - origin_s
    return Window(origin_s, length_s if length_s > 0 else 1.0)


def _fault_times(history: History) -> list[float]:
    times = (time_s for fault in history.faults for time_s in (fault.start_s, fault.end_s, fault.healed_s))
    return [time_s for time_s in times if time_s is not None]


def strikes(history: History, seen: Window) -> list[Strike]:
    """Faults, those that struck several nodes at once taken together."""
    gathered: dict[tuple[str, str, float], list[Injected]] = {}
    for fault in history.faults:
        gathered.setdefault((fault.kind, fault.target, fault.start_s), []).append(fault)
    found = []
    for number, ((kind, target, start_s), faults) in enumerate(gathered.items(), start=1):
        ends = [fault.healed_s or fault.end_s for fault in faults]
        end_s = max((seen.length_s if end is None else seen.at(end) for end in ends), default=seen.length_s)
        nodes = tuple(fault.node for fault in faults if fault.node is not None)
        found.append(Strike(number, kind, target, nodes, seen.at(start_s), end_s))
    return found


def lanes(history: History, seen: Window, struck: Sequence[Strike]) -> list[Lane]:
    """A lane a node, in the order of their first starts; the harness's own nemesis has none."""
    starts: dict[str, list[tuple[int, float]]] = {}
    roles: dict[str, str] = {}
    for node in history.nodes:
        if node.role != "nemesis":
            starts.setdefault(node.node, []).append((node.incarnation, seen.at(node.started_s)))
            roles[node.node] = node.role
    led = _led(history, seen)
    found = []
    for name, begun in starts.items():
        on = tuple(strike for strike in struck if name in strike.nodes)
        lives = _lives(sorted(begun, key=lambda start: start[1]), on, seen.length_s)
        own = tuple(_within(span, lives) for node, span in led if node == name)
        found.append(Lane(name, roles[name], lives, own, on))
    return found


def _lives(starts: Sequence[tuple[int, float]], on: Sequence[Strike], end_s: float) -> tuple[Span, ...]:
    """From each start to the fault that ended it; where none is known, to the next start."""
    nexts = [start_s for _, start_s in starts[1:]] + [end_s]
    return tuple(
        Span(str(incarnation), start_s, _death_s(on, start_s, next_s) or next_s)
        for (incarnation, start_s), next_s in zip(starts, nexts, strict=True)
    )


def _death_s(on: Sequence[Strike], after_s: float, before_s: float) -> float | None:
    deaths = (s.start_s for s in on if s.kind in ENDING and after_s < s.start_s < before_s)
    return max(deaths, default=None)


def _led(history: History, seen: Window) -> list[tuple[str, Span]]:
    """Who led from when to when: until it resigned or the next term began."""
    given_up = {resigned.term: seen.at(resigned.time_s) for resigned in history.of(Resign)}
    found = []
    for lead, follower in itertools.pairwise([*terms(history), None]):
        assert lead is not None
        end_s = seen.length_s if follower is None else seen.at(follower.time_s)
        end_s = min(end_s, given_up.get(lead.term, end_s))
        found.append((lead.node, Span(str(lead.term), seen.at(lead.time_s), end_s)))
    return found


def _within(span: Span, lives: Sequence[Span]) -> Span:
    """Who leads does so no longer than the life it began in."""
    ends = [life.end_s for life in lives if life.start_s <= span.start_s <= life.end_s]
    return Span(span.name, span.start_s, min([span.end_s, *ends]))


def shown(found: Sequence[Lane]) -> list[Lane]:
    """The lanes to draw: all, or where that is too many, those to which something happened."""
    if len(found) <= LANES_MAX:
        return list(found)
    return [lane for lane in found if lane.eventful][:LANES_MAX]
