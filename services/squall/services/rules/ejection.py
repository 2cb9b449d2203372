"""Which instances of a stage get no tasks for a while: those that fail where the others do not. Pure.

    attempts of one ── so many failed in a row, while others end well ──► ejected ── its time ──► back
                                                                         └ longer each time

What all instances depend on is for the stage's breaker. This is for what one of them has to itself: its
machine, its way to something, its memory. Never more than a third are out at a time, and one always stays.

Source: outlier detection as Envoy has it (consecutive errors, growing times, a share that is never passed).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from squall.services.rules.breaker import Counts

ROW = 5
"""Attempts that fail one after the other before an instance is ejected. Lower ejects for less."""

SHARE_MAX = 1 / 3
"""Of the instances of a stage, how many may be out at a time."""

TIMES_MAX = 10
"""How often the time grows."""


class Ejected(NamedTuple):
    """An instance gets no tasks from now on.

    Attributes:
        for_s: For how long.
        times: How often it has been so lately, this time included.
    """

    name: str
    for_s: float
    times: int


class Ejection:
    """Of one stage, by a monotonic clock that the caller keeps, and by what instances count.

    Args:
        eject_s: For how long an instance is out the first time, and so much longer each time that follows.
            One that was in for as long as it was out is out for so long again only. 0 ejects nobody.
    """

    def __init__(self, eject_s: float) -> None:
        self._eject_s = eject_s
        self._rows: dict[str, int] = {}
        self._well: set[str] = set()
        self._out: dict[str, Ejected] = {}
        self._until_s: dict[str, float] = {}

    def counted(self, now_s: float, name: str, more: Counts) -> None:
        """An instance has said what its calls came to since it said so before.

        While it is out it still makes those that it had begun, which says nothing new.
        """
        if name in self.out(now_s):
            return
        if more.calls > more.failed:
            self._rows[name] = 0
            self._well.add(name)
        elif more.failed:
            self._rows[name] = self._rows.get(name, 0) + more.failed
            self._well.discard(name)

    def look(self, now_s: float, instances: Collection[str]) -> list[Ejected]:
        """Those that are ejected now.

        Args:
            instances: Those of the stage that are there.
        """
        found: list[Ejected] = []
        for name in sorted(instances):
            if self._rows.get(name, 0) < ROW or name in self.out(now_s) or not self._eject_s:
                continue
            others = {*instances} - {name} - self.out(now_s)
            # Where most of the others do not end anything well either, it is not this one's own.
            if len(others & self._well) * 2 <= len(others):
                continue
            if len(self.out(now_s) & {*instances}) + 1 > int(len(instances) * SHARE_MAX):
                continue
            found.append(self._eject(name, now_s))
        return found

    def out(self, now_s: float) -> frozenset[str]:
        """Those that get no tasks now."""
        return frozenset(name for name, until_s in self._until_s.items() if now_s < until_s)

    def _eject(self, name: str, now_s: float) -> Ejected:
        before, times = self._out.get(name), 1
        if before is not None and now_s - self._until_s[name] < before.for_s:
            times = min(TIMES_MAX, before.times + 1)
        ejected = self._out[name] = Ejected(name, self._eject_s * times, times)
        self._until_s[name] = now_s + ejected.for_s
        # Once it is back, its first failure says that nothing has changed, until it ends something well.
        self._rows[name] = ROW - 1
        return ejected
