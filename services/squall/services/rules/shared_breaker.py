"""The breaker that all instances of a stage share: what is said of it, and what its calls came to. Pure.

    instances ──counts, with each heartbeat──► Totals ──► Breaker of who leads ──► Said ──► broker
        ▲                                                                                      │
        └────────── asked for before attempts begin ◄──────────────────────────────────────────┘

What is said of it lies at the broker, and says of itself when it ends. So whoever reads it knows how long it
is to be open, and that it is half-open from then on, though nobody leads any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from msgspec import Meta

from squall.bus.lanes import Name
from squall.bus.messages import Count, Message, Sentence
from squall.services.rules.breaker import Counts, State

CALLS = ("calls", "calls_failed", "calls_slow")
"""What an instance counts since it started, in the order of `Counts`."""


class Said(Message, frozen=True, kw_only=True, tag="breaker"):
    """How a stage's shared breaker stands, from when it is stored.

    Attributes:
        state: ``closed`` or ``open``, after which it is half-open by itself; or as an operator had it.
        opened: How often it has been open without being clean since.
        for_s: How long it is open.
        why: In one sentence without its full stop.
        probers: The instances that share the probes, in the order of their turns: those that had lanes as
            this was said. Empty for those that the swarm began with.
    """

    state: State
    opened: Count = 0
    for_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    why: Sentence = ""
    probers: tuple[Name, ...] = ()

    def is_of_probers_only(self, before: Said) -> bool:
        """Whether it stands as it did before, and only others share its probes from now on."""
        return self.state == before.state == "closed" and self.opened == before.opened

    def left_s(self, stored_s: float, now_s: float) -> float:
        """How much of its time is left: no more than all of it, whatever clocks say."""
        return min(self.for_s, max(0.0, stored_s + self.for_s - now_s))


class Totals:
    """What instances have counted since they were heard before, whichever starts of them these are."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[int, Counts]] = {}

    def since(self, node: str, incarnation: int, counters: Mapping[str, int]) -> Counts:
        """What is new with this word of an instance; nothing with the first that is heard of it."""
        now = Counts(*(counters.get(name, 0) for name in CALLS))
        known = self._known.get(node)
        if known is not None and incarnation < known[0]:
            return Counts()
        self._known[node] = (incarnation, now)
        if known is None:
            return Counts()
        if incarnation > known[0]:
            return now
        more = now.plus(known[1], -1)
        return more if min(more) >= 0 else Counts()
