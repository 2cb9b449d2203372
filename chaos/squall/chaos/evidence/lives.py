"""How each start of a node lived and ended, as far as lines tell: what it held, what it counted. Pure.

A process that dies writes no reason. What it had begun and not ended says what it died of, where that was a
task that kills; whatever else there is, it said itself, or the harness did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Start = tuple[str, int]
"""A node and which start of it, from 1."""

COUNTS_MAX = 64
"""Kinds of counts that are kept of one start."""


@dataclass(frozen=True, slots=True)
class Lives:
    """What is known of the starts of all nodes.

    Attributes:
        in_hand: Tasks that an agent had begun and not ended, by its last line of them.
        most_in_hand: The most that it ever had at a time, of attempts or, where agents vote, of opinions.
        reasons: Why a node ended of its own accord.
        expelled: Agents that were put out, with the reason.
        counts: What each start counted, the most that it ever said of each kind.
        ended: Starts that ended in good order, and so wrote down all that they had to.
        links: When each start was connected anew.
        statuses: With which status an agent's process ended, other than 0, by the operating system's word;
            negative for a signal.
    """

    in_hand: Mapping[Start, frozenset[str]] = field(default_factory=dict)
    most_in_hand: Mapping[Start, int] = field(default_factory=dict)
    reasons: Mapping[Start, str] = field(default_factory=dict)
    expelled: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[Start, Mapping[str, int]] = field(default_factory=dict)
    ended: frozenset[Start] = frozenset()
    links: Mapping[Start, Sequence[float]] = field(default_factory=dict)
    statuses: Mapping[Start, int] = field(default_factory=dict)


class Gathering:
    """Gathers lives line by line."""

    def __init__(self) -> None:
        self._in_hand: dict[Start, set[str]] = {}
        self._considered: dict[Start, set[str]] = {}
        self._most: dict[Start, int] = {}
        self._reasons: dict[Start, str] = {}
        self._expelled: dict[str, str] = {}
        self._counts: dict[Start, dict[str, int]] = {}
        self._ended: set[Start] = set()
        self._links: dict[Start, list[float]] = {}
        self._statuses: dict[Start, int] = {}

    def begin(self, who: Start, task: str, *, considered: bool = False) -> None:
        """An attempt at a task has begun.

        Args:
            considered: Its handler is asked for an opinion; what all agreed on is carried out besides.
        """
        in_hand = (self._considered if considered else self._in_hand).setdefault(who, set())
        in_hand.add(task)
        self._most[who] = max(len(in_hand), self._most.get(who, 0))

    def end(self, who: Start, task: str, *, considered: bool = False) -> None:
        """It has ended, however."""
        held = self._considered if considered else self._in_hand
        if who in held:
            held[who].discard(task)

    def give_reason(self, who: Start, reason: str) -> None:
        self._reasons[who] = reason

    def exit(self, who: Start, status: int) -> None:
        """Its process ended, by the operating system's word."""
        self._statuses[who] = status

    def expel(self, agent: str, reason: str) -> None:
        self._expelled[agent] = reason

    def count(self, who: Start, counts: Mapping[str, int]) -> None:
        """Counts only grow, so of two lines about one start the higher count is the later one."""
        known = self._counts.setdefault(who, {})
        for name, count in counts.items():
            if name in known or len(known) < COUNTS_MAX:
                known[name] = max(count, known.get(name, 0))

    def connect(self, who: Start, time_s: float) -> None:
        """It has a further link to the broker."""
        self._links.setdefault(who, []).append(time_s)

    def close(self, who: Start) -> None:
        """It has written its last line."""
        self._ended.add(who)

    def lives(self) -> Lives:
        both = {
            who: frozenset(self._in_hand.get(who, ())) | frozenset(self._considered.get(who, ()))
            for who in self._in_hand.keys() | self._considered.keys()
        }
        in_hand = {who: tasks for who, tasks in both.items() if tasks}
        return Lives(
            in_hand,
            self._most,
            self._reasons,
            self._expelled,
            self._counts,
            frozenset(self._ended),
            self._links,
            self._statuses,
        )
