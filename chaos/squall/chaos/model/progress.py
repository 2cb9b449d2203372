"""How far a consumer has come: what it delivered, what is not acknowledged, and when that comes again.

    delivered ─► pending ─── acknowledged
                   │  ▲
          ack wait │  │ delivered again, one more attempt
            or nak ▼  │
                  again

The server writes this down a moment later, and a process that is killed loses what it had not written.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict, deque
from collections.abc import Sequence

import msgspec

WRITTEN_S = 0.1
"""How long the newest state may be unwritten."""


class _Before(msgspec.Struct, frozen=True):
    """What stood before one change, to go back to."""

    at_s: float
    seq: int
    pending: tuple[int, float] | None
    repeats: int | None
    order: int
    delivered: int
    floors: tuple[int, int, int]


class Progress:
    """One consumer's state.

    Args:
        explicit: Whether what it delivers is to be acknowledged.
        durable: Whether it is written down at all.
        start: The first sequence that it is to deliver.

    Attributes:
        order: The place of the next delivery among all.
        delivered: The highest sequence that was delivered, as it is told.
        pending: By sequence, the place of its first delivery, and when it comes again.
        again: Sequences that are to come again now, in that order.
        repeats: How often a sequence came again.
        floor_order, floor: Everything up to there is acknowledged: by place, and by sequence.
        told_floor: The latter as it is told.
    """

    __slots__ = (
        "_ack_wait_s",
        "_durable",
        "_explicit",
        "_log",
        "_waits",
        "again",
        "delivered",
        "floor",
        "floor_order",
        "order",
        "pending",
        "repeats",
        "told_floor",
    )

    def __init__(self, *, explicit: bool, durable: bool, ack_wait_s: float, start: int) -> None:
        self._explicit = explicit
        self._durable = durable
        self._ack_wait_s = ack_wait_s
        self._log: deque[_Before] = deque()
        self._waits: list[tuple[float, int]] = []
        self.order = 1
        self.delivered = self.floor = self.told_floor = max(0, start - 1)
        self.floor_order = 0
        self.pending: dict[int, tuple[int, float]] = {}
        self.again: OrderedDict[int, None] = OrderedDict()
        self.repeats: dict[int, int] = {}

    # What happens.

    def deliver(self, seq: int, now: float) -> None:
        """A message goes out, for the first time or again."""
        self._note(seq, now)
        if self._explicit:
            before = self.pending.get(seq)
            due = now + self._ack_wait_s
            self.pending[seq] = (before[0] if before else self.order, due)
            heapq.heappush(self._waits, (due, seq))
        else:
            self.floor_order, self.floor, self.told_floor = self.order, seq, max(self.delivered, seq)
        self.order += 1
        self.delivered = max(self.delivered, seq)

    def acknowledge(self, seq: int, now: float, upto: int) -> bool:
        """A message is done with; whether it was pending.

        Args:
            upto: The next sequence that the consumer would deliver.
        """
        self._note(seq, now)
        entry = self.pending.pop(seq, None)
        self.repeats.pop(seq, None)
        self.again.pop(seq, None)
        if entry is None:
            return False
        if not self.pending:
            self.floor_order, self.floor, self.told_floor = self.order - 1, upto - 1, self.delivered
        elif entry[0] == self.floor_order + 1:
            self.floor_order, self.floor = entry[0], seq
            for after in range(seq + 1, upto):
                held = self.pending.get(after)
                if held is not None:
                    self.floor_order, self.floor = held[0] - 1, after - 1
                    break
            self.told_floor = self.floor
        return True

    def put_off(self, seq: int, due: float, now: float) -> bool:
        """A pending message is to come again then; whether it is one."""
        entry = self.pending.get(seq)
        if entry is None:
            return False
        self._note(seq, now)
        self.pending[seq] = (entry[0], due)
        heapq.heappush(self._waits, (due, seq))
        return True

    def expire(self, now: float) -> Sequence[int]:
        """See which have waited long enough to come again, in the order of the stream."""
        waits, expired = self._waits, []
        while waits and waits[0][0] <= now:
            due, seq = heapq.heappop(waits)
            entry = self.pending.get(seq)
            if entry is not None and entry[1] == due:
                expired.append(seq)
        expired.sort()
        for seq in expired:
            due = now + self._ack_wait_s
            self.pending[seq] = (self.pending[seq][0], due)
            heapq.heappush(waits, (due, seq))
            self.again.setdefault(seq)
        return expired

    def next_due(self) -> float | None:
        """When something may come again, if nothing is heard; None if nothing is pending."""
        waits = self._waits
        while waits:
            due, seq = waits[0]
            entry = self.pending.get(seq)
            if entry is not None and entry[1] == due:
                return due
            heapq.heappop(waits)
        return None

    def purge(self, start: int, upto: int, gone: frozenset[int] | None) -> None:
        """The stream was purged.

        Args:
            start: The first sequence that is left for this consumer.
            upto: The next sequence that it would deliver.
            gone: What of its pending messages is gone beyond that.
        """
        if self.floor < start:
            self.floor = self.told_floor = start - 1
            for seq in list(self.pending):
                if seq <= self.floor or (gone is not None and seq in gone):
                    self.floor_order = max(self.floor_order, self.pending.pop(seq)[0])
                    self.repeats.pop(seq, None)
        if not self.pending:
            self.repeats.clear()
            self.floor_order, self.floor = self.order - 1, upto - 1
        for seq in [seq for seq in self.again if seq < upto]:
            del self.again[seq]
        self.delivered, self.told_floor = upto - 1, self.floor
        self._log.clear()

    # What a killed process loses.

    def _note(self, seq: int, now: float) -> None:
        if not self._durable:
            return
        log = self._log
        while log and log[0].at_s < now - WRITTEN_S:
            log.popleft()
        floors = self.floor_order, self.floor, self.told_floor
        before = self.pending.get(seq), self.repeats.get(seq), self.order, self.delivered
        log.append(_Before(now, seq, *before, floors))

    def forget(self, after_s: float) -> None:
        """Go back to what stood at a time, which is within `WRITTEN_S`."""
        log = self._log
        while log and log[-1].at_s > after_s:
            before = log.pop()
            self.order, self.delivered = before.order, before.delivered
            self.floor_order, self.floor, self.told_floor = before.floors
            for table, value in ((self.pending, before.pending), (self.repeats, before.repeats)):
                if value is None:
                    table.pop(before.seq, None)
                else:
                    table[before.seq] = value  # type: ignore[assignment]
        log.clear()

    def restart(self, whole: float) -> None:
        """A new process reads it; of when something was delivered only the seconds are kept.

        Args:
            whole: A time of the clock at which a second of the date begins.
        """
        self.again.clear()
        self._waits.clear()
        for seq, (order, due) in self.pending.items():
            since = due - self._ack_wait_s - whole
            due = whole + since // 1 + self._ack_wait_s
            self.pending[seq] = (order, due)
            self._waits.append((due, seq))
        heapq.heapify(self._waits)
