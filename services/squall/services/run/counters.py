"""What the nodes of a run counted, kept in its directory: ``counters.jsonl``, a line a start of a node.

    nodes ──heartbeats──► observer ──► newest counts a start ──every few seconds──► counters.jsonl

A node writes its last counts into the history as well, where it ends in good order. The heartbeats tell of
one that did not.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from squall.bus.codec import decode
from squall.bus.errors import DecodeError
from squall.bus.messages import Heartbeat
from squall.services.run.directory import RunDirectory, replace, writing

COUNTERS = "counters.jsonl"

WRITE_EVERY_S = 3.0

NAMES_MAX = 40
"""Kinds of counts that are kept of one start; our services have about twenty."""

NAME_LENGTH_MAX = 40

SETTLED = ("accepted", "refused", "unusable")
"""What a producer counts of tasks that are not offered again."""

READ_EVERY_S = 0.5
"""A node's heartbeats that come sooner after its last are not read: a flood must not hold the command."""


class Delivered(Protocol):
    """A message of the broker's client, as far as it is needed."""

    subject: str
    data: bytes


@dataclass
class _Counted:
    role: str
    heartbeats: int = 0
    seen_s: float = 0.0
    ahead_s: float = -math.inf
    counts: dict[str, int] = field(default_factory=dict)


class Counters:
    """The newest counts of each start of each node of one run.

    Who a heartbeat is from is told by its subject, which the sender's rights hold it to; which start of that
    node, by its content, as far as there was such a start. So a node can lie about itself alone, and what is
    kept is bounded by the starts there were.

    Args:
        own: The counts of the command's own connection.
    """

    def __init__(self, run: RunDirectory, own: Callable[[], Mapping[str, int]]) -> None:
        self._run = run
        self._own = own
        self._starts: dict[tuple[str, int], _Counted] = {}
        self._read_s: dict[str, float] = {}

    def started(self, node: str, role: str, incarnation: int) -> None:
        """There was such a start."""
        self._starts[node, incarnation] = _Counted(role)
        self._read_s.pop(node, None)

    def hear(self, message: Delivered) -> None:
        """Take a heartbeat in; what is none, or of nobody who was started, is left out. Never raises."""
        role, node = message.subject.split(".")[-2:]
        now_s = time.monotonic()
        if now_s - self._read_s.get(node, -READ_EVERY_S) < READ_EVERY_S:
            return
        try:
            heartbeat = decode(message.data, Heartbeat)
        except DecodeError:
            return
        counted = self._starts.get((node, heartbeat.incarnation))
        if counted is None or counted.role != role:
            return
        self._read_s[node] = now_s
        counted.heartbeats += 1
        counted.seen_s = time.time()
        # On its way it only gets later, so the one that seems most ahead tells most of the node's clock.
        counted.ahead_s = max(counted.ahead_s, heartbeat.time_s - counted.seen_s)
        for name, count in heartbeat.counters.items():
            known = name in counted.counts or len(counted.counts) < NAMES_MAX
            if known and _is_count_name(name):
                counted.counts[name] = max(count, counted.counts.get(name, 0))

    def offered(self, role: str) -> int | None:
        """How many tasks the nodes of a role had offered by their last heartbeats; None before the first.

        One that was started again offers anew what its last start had no answer to.
        """
        starts = [
            counted.counts for counted in self._starts.values() if counted.role == role and counted.heartbeats
        ]
        if not starts:
            return None
        *before, now = starts
        settled = sum(counts.get(name, 0) for counts in before for name in SETTLED)
        return settled + now.get("offered", 0)

    def total(self, role: str, name: str) -> int:
        """What all starts of all nodes of a role have counted of a kind, by their last heartbeats."""
        return sum(counted.counts.get(name, 0) for counted in self._starts.values() if counted.role == role)

    def write(self) -> None:
        """Leave what is known in the run's directory.

        Raises:
            DiskError: It cannot be written.
        """
        lines = [
            {
                "node": node,
                "incarnation": incarnation,
                "heartbeats": counted.heartbeats,
                "seen_s": counted.seen_s,
                "ahead_s": counted.ahead_s,
                "counters": counted.counts,
            }
            for (node, incarnation), counted in self._starts.items()
            if counted.heartbeats
        ]
        lines.append({"node": "squall", "incarnation": 1, "heartbeats": 0, "counters": dict(self._own())})
        with writing(self._run.path):
            replace(self._run.path / COUNTERS, b"".join(msgspec.json.encode(line) + b"\n" for line in lines))

    async def keep(self) -> None:
        """Write every few seconds, for as long as this is not cancelled, and once more then."""
        try:
            while True:
                await asyncio.sleep(WRITE_EVERY_S)
                self.write()
        finally:
            self.write()


def _is_count_name(name: str) -> bool:
    return len(name) <= NAME_LENGTH_MAX and name.isascii() and name.isidentifier()
