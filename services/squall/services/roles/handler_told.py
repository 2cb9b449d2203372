"""Tells of a handler's mistakes as they happen: a line of the history each, some of them with their lines.

    handler ─► outcome ─┬─► HandlerTold ─► history, log      what the handler did
                        └─► work queue ──► history, register what became of the task

They are told beside the work queue, so that a judge believes what the queue says of a handler only where the
handler did it.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import Protocol

from squall.bus.border import printable
from squall.bus.ended import Done, Ended
from squall.services.handlers import effect_id
from squall.services.handlers.mistakes import Frame, Kind, Mistake
from squall.services.node.history import MISTAKE
from squall.services.node.history import Kind as LineKind
from squall.services.rules.blocking import HELD_S
from squall.services.trading.orders import read_order

log = logging.getLogger("squall")

LOGGED_EACH = 5
"""Mistakes of a kind at one place that are logged one by one; after those, each that doubles their number."""

RETURNED: tuple[Kind, ...] = ("returned", "order")
"""Mistakes that no line of the handler raised, so that there is none to tell but its first."""

PLACES_MAX = 200
"""Places that are counted apart; of more, none is logged."""


class _Write(Protocol):
    def __call__(self, op: str, kind: LineKind, /, **facts: object) -> None: ...


class HandlerTold:
    """What one agent tells of its handler.

    Args:
        name: Of the handler.
        history: Where to.
        begins: Where its function begins, which is told of mistakes that raise nothing; None if unknown.
        orders: Whether its effects are to be orders, as the venue takes them.
    """

    def __init__(
        self, name: str, history: _Write, begins: Frame | None = None, *, orders: bool = True
    ) -> None:
        self._orders = orders
        self._name = printable(name, 100)
        self._begins = "" if begins is None else printable(begins.place)
        self._begins_so = () if begins is None else (str(begins),)
        self._history = history
        self._counts: Counter[str] = Counter()
        self._held_s: dict[str, float] = {}
        self._health = ""

    def health(self, said: str) -> None:
        """What is wrong with it now, or nothing; a log tells of each change."""
        said = printable(said)
        if said != self._health:
            log.warning("%s: %s", self._name, said or "it is well again")
        self._health = said

    def ended(self, task: str, attempt: int, ended: Ended) -> None:
        """An attempt has come to this, before anything is written of it."""
        if isinstance(ended, Mistake):
            self._mistake(task, attempt, ended.kind, ended.reason, ended.trace, said=ended.said)
        elif isinstance(ended, Done):
            if not ended.effects and not ended.value:
                self._history("empty", "ok", task=task, attempt=attempt, at=self._begins)
            for index, effect in enumerate(ended.effects if self._orders else ()):
                order = read_order(effect)
                if isinstance(order, str):
                    order_id = effect_id(task, index)
                    self._mistake(task, attempt, "order", order, (), said=order, order_id=order_id)

    def _mistake(
        self,
        task: str,
        attempt: int,
        kind: Kind,
        reason: str,
        trace: tuple[str, ...],
        *,
        said: str,
        order_id: str = "",
    ) -> None:
        at = trace[-1] if trace else ""
        shown = self._is_shown(f"{kind} {at or said[:40]}")
        if kind in RETURNED:
            at, trace = self._begins, self._begins_so
        facts: dict[str, object] = {"said": said, "at": at}
        if shown:
            facts["trace"] = trace
        if order_id:
            facts["order_id"] = order_id
        self._history(MISTAKE, "fail", task=task, attempt=attempt, what=kind, reason=reason, **facts)
        if shown:
            log.warning("%s, task %s, attempt %d: %s", self._name, task, attempt, reason)
            for frame in trace:
                log.warning("  %s", frame)

    def held_up(self, frame: Frame, held_s: float, *, is_over: bool = True) -> None:
        """The handler let nothing else of its agent run for so long, by now if it is not over.

        Each that lasts is a line of the history, by which a judge excuses what was delivered again meanwhile.
        """
        at = printable(frame.place)
        place = f"held up at {at}"
        shown = self._is_shown(place) if is_over else True
        known_s = self._held_s.get(at, 0.0)
        if is_over and (at in self._held_s or len(self._held_s) < PLACES_MAX):
            self._held_s[at] = max(known_s, held_s)
        if shown or held_s > 2 * known_s or held_s >= HELD_S:
            times = self._counts[place] if is_over else self._counts.get(place, 0) + 1
            self._history(
                "held-up",
                "ok",
                at=at,
                line=str(frame),
                times=max(1, times),
                seconds=round(max(known_s, held_s), 3),
                took_s=round(held_s, 3),
            )
        if shown or held_s > 2 * known_s:
            so_far = "" if is_over else " so far"
            log.warning("%s held up its agent for %.2f s%s, at %s", self._name, held_s, so_far, frame)

    def running(self, task: str, attempt: int, frame: Frame | None, took_s: float) -> None:
        """An attempt takes so long by now, and its handler stands there."""
        line = str(frame) if frame is not None else ""
        if self._is_shown(f"running at {line}"):
            self._history("running", "ok", task=task, attempt=attempt, line=line, seconds=round(took_s, 3))
            where = f", at {line}" if line else ""
            log.info(
                "%s, task %s, attempt %d: it takes %.0f s by now%s", self._name, task, attempt, took_s, where
            )

    def _is_shown(self, place: str) -> bool:
        """Whether the next one at a place is to be shown, which counts it."""
        if place not in self._counts and len(self._counts) >= PLACES_MAX:
            return False
        self._counts[place] += 1
        count = self._counts[place]
        return count <= LOGGED_EACH or count.bit_count() == 1
