"""A pull consumer: delivers the messages of a stream to requests, and again what is not acknowledged.

stream ─► to come ──┐
                    ├─► next message ─► next request ─► delivered
to come again ──────┘
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from squall.chaos.model.clock import Alarms, Handle
from squall.chaos.model.configs import ConsumerConfig
from squall.chaos.model.errors import Unmodelled
from squall.chaos.model.interest import first_place, is_awaited
from squall.chaos.model.post import Post
from squall.chaos.model.progress import WRITTEN_S, Progress
from squall.chaos.model.pulls import Asked, Requests
from squall.chaos.model.stamps import length, nak_delay_s
from squall.chaos.model.streams import Stored, Stream
from squall.chaos.model.subjects import covers, matcher

LATE_S = 0.001
"""After an ack wait the server looks that much later: what was delivered together comes again together."""

NAK_S = 0.010
"""The shortest delay that a nak may ask for."""

OnDeliver = Callable[["Consumer", Stored, int, str], None]
"""Called with each delivery: the consumer, the message, which attempt it is, and the inbox it goes to."""


class Consumer:
    """One consumer of a stream.

    Attributes:
        next: The next sequence that it would deliver for the first time.
        left: How many messages it has yet to deliver for the first time.
        paused_until: When it goes on, by the clock; 0 if it is not paused.
        first_told: What is told of it, instead of what is so, when it is asked for the first time after a
            restart to be what it is, or something else.
    """

    __slots__ = (
        "_ack_prefix",
        "_alarm",
        "_alarm_at",
        "_alarms",
        "_blocked",
        "_chance",
        "_deaf",
        "_gone",
        "_matches",
        "_on_deliver",
        "_post",
        "_resume",
        "_upcoming",
        "config",
        "created_ns",
        "first_told",
        "left",
        "name",
        "next",
        "paused_until",
        "progress",
        "requests",
        "stream",
    )

    def __init__(
        self,
        stream: Stream,
        name: str,
        config: ConsumerConfig,
        *,
        post: Post,
        alarms: Alarms,
        chance: random.Random,
        on_deliver: OnDeliver,
        on_gone: Callable[[Consumer], None],
    ) -> None:
        self.stream = stream
        self.name = name
        self.config = config
        self.created_ns = alarms.stamp_ns()
        self.first_told: dict[str, Any] | None = None
        self._post = post
        self._alarms = alarms
        self._chance = chance
        self._on_deliver = on_deliver
        self._gone = on_gone
        self._ack_prefix = f"$JS.ACK.{stream.name}.{name}."
        self._matches = matcher(*config.filters)
        self.next = first_place(stream, config)
        self.progress = Progress(
            explicit=config.is_explicit,
            durable=not self.is_in_memory,
            ack_wait_s=config.ack_wait / 1e9,
            start=self.next,
        )
        self.requests = Requests(config.max_waiting, post, alarms, self._beat, self.pump)
        self._upcoming: deque[int] = deque()
        self.left = 0
        self._look_ahead()
        self._blocked = False
        self._deaf = False
        self.paused_until = 0.0
        self._resume: Handle | None = None
        self._alarm: Handle | None = None
        self._alarm_at = float("inf")
        if config.inactive_threshold:
            self._alarms.after(self._patience_s(), self._look_for_life)

    def _look_ahead(self) -> None:
        self._upcoming = deque(self.stream.matching(self._matches, self.next))
        self.left = len(self._upcoming)

    def _beat(self) -> tuple[int, int]:
        return self.progress.order - 1, self.next - 1

    @property
    def is_in_memory(self) -> bool:
        return self.config.mem_storage or self.stream.config.storage == "memory"

    def change(self, config: ConsumerConfig) -> bool:
        """Take on another configuration, whose changes are allowed and right.

        What it holds it keeps, also of subjects that it delivers no more; what it has passed does not come
        back, though it was of no subject of its own then.

        Returns:
            Whether it is to be pumped, which the server does after it has answered: another bound of what may
            be pending wakes it, be it higher or lower, and other filters alone do not.
        """
        filtered = config.filters != self.config.filters
        bounded = config.max_ack_pending != self.config.max_ack_pending
        self.config = config
        if filtered:
            # One that loses all of its filters is told of no new message: it finds them when it looks.
            self._deaf = not config.filters
            self._matches = matcher(*config.filters)
            self._look_ahead()
        return bounded

    # The stream tells.

    def stored(self, message: Stored) -> None:
        if not self._matches(message.subject):
            return
        if self._deaf:
            self._upcoming.append(message.seq)
            return
        self.left += 1  # the server counts it though it may be before where this one is to begin
        if message.seq >= self.next:
            self._upcoming.append(message.seq)
            if self.requests.count:
                self.pump()

    def removed(self, message: Stored) -> None:
        """A limit or an acknowledgement removed one message.

        A consumer whose filters were changed meanwhile is not told. What it holds of another subject stays
        pending until it would come again.
        """
        if not self._matches(message.subject):
            return
        if message.seq >= self.next:
            self.left -= 1
        if message.seq in self.progress.pending:
            self._settle(message.seq)
        else:
            self.progress.repeats.pop(message.seq, None)

    def dropped(self, messages: Sequence[Stored]) -> None:
        """A purge removed messages."""
        for message in messages:
            if message.seq >= self.next and self._matches(message.subject):
                self.left -= 1

    def relation(self, pattern: str) -> tuple[bool, bool]:
        """Whether all that it delivers falls under a purged pattern, and whether it is the other way."""
        if not pattern:
            return True, False
        filters = self.config.filters
        within = any(covers(pattern, one) for one in filters)
        return within, not filters or any(covers(one, pattern) for one in filters)

    def purged(self, start: int, *, wider: bool) -> None:
        """A purge is over; from ``start`` on there is something left, and nothing if that is 0."""
        if not start and not wider:
            start = self.stream.last + 1
        self.next = max(self.next, start)
        gone = frozenset(self.progress.pending) - self.stream.messages.keys() if wider else None
        self.progress.purge(start, self.next, gone)

    def needs(self, message: Stored) -> bool:
        """Whether this one is to have a message acknowledged."""
        is_open = message.seq >= self.next or message.seq in self.progress.pending
        return message.seq > self.progress.floor and is_open and bool(self._matches(message.subject))

    # Requests.

    def ask(self, inbox: str, asked: Asked) -> None:
        """Take a pull request in."""
        config = self.config
        if asked.idle_heartbeat * 2 > asked.expires and asked.idle_heartbeat:
            return self._post.status(inbox, "400", "Bad Request - heartbeat value too large")
        if 0 < config.max_batch < asked.batch:
            return self._post.status(inbox, "409", f"Exceeded MaxRequestBatch of {config.max_batch}")
        if 0 < config.max_expires < asked.expires:
            text = f"Exceeded MaxRequestExpires of {length(config.max_expires)}"
            return self._post.status(inbox, "409", text)
        if asked.no_wait:
            ready = self.left + len(self.progress.again)
            if not ready and not asked.expires:
                self.requests.last_s = self._alarms.time()
                return self._post.status(inbox, "404", "No Messages")
            if 0 < ready < self.requests.wanted():
                self.requests.last_s = self._alarms.time()
                return self._post.status(inbox, "408", "Requests Pending")
        if not self.requests.add(inbox, asked):
            # Who asked for heartbeats misses them, and so is told nothing.
            if not asked.idle_heartbeat:
                self._post.status(inbox, "409", "Exceeded MaxWaiting")
            return None
        return self.pump()

    def pump(self) -> None:
        """Deliver what there is to those who wait."""
        requests, progress, stream = self.requests, self.progress, self.stream
        self._blocked = False
        now = self._alarms.time()
        while requests.count and self.paused_until <= now:
            found = self._take()
            if found is None:
                break
            message, attempt = found
            if attempt == 1:
                self.left = self.left - 1 if self.left else 0 if self._deaf else len(self._upcoming)
            reply = (
                f"{self._ack_prefix}{attempt}.{message.seq}.{progress.order}.{message.stamp_ns}.{self.left}"
            )
            size = len(message.subject) + len(reply) + message.header_bytes + len(message.data)
            served = requests.serve(size)
            if served is None:
                self._put_back(message, attempt)
                break
            request, ears = served
            progress.deliver(message.seq, now)
            self._watch()
            self._on_deliver(self, message, attempt, request.inbox)
            self._post.hand(ears, message.subject, reply, message.headers, message.data)
            requests.served(request)
            if stream.consumers.get(self.name) is not self:
                return
        if not self._blocked:
            requests.at_end()

    @property
    def is_paused(self) -> bool:
        return self.paused_until > self._alarms.time()

    def _take(self) -> tuple[Stored, int] | None:
        """The next message and which attempt it is; those that come again go first."""
        progress, messages = self.progress, self.stream.messages
        while progress.again:
            seq, _ = progress.again.popitem(last=False)
            message = messages.get(seq)
            if message is None:
                self._settle(seq)
                continue
            progress.repeats[seq] = progress.repeats.get(seq, 0) + 1
            return message, progress.repeats[seq] + 1
        if self.config.is_explicit and 0 < self.config.max_ack_pending <= len(progress.pending):
            self._blocked = True
            return None
        upcoming = self._upcoming
        while upcoming:
            seq = upcoming.popleft()
            message = messages.get(seq)
            if message is not None and seq >= self.next:
                self.next = seq + 1
                return message, 1
        self.next = max(self.next, self.stream.last + 1)
        self.count_left()
        return None

    def count_left(self) -> None:
        """See that no more is left than there may be."""
        last = self.stream.last
        self.left = 0 if self.next > last else min(self.left, len(self.stream.messages), last - self.next + 1)

    def _put_back(self, message: Stored, attempt: int) -> None:
        """Nobody was there for it after all."""
        if attempt == 1:
            self.left += 1
            self.next = message.seq
            self._upcoming.appendleft(message.seq)
        else:
            repeats = self.progress.repeats
            repeats[message.seq] -= 1
            if not repeats[message.seq]:
                del repeats[message.seq]
            self.progress.again[message.seq] = None

    # Acknowledgements.

    def answer(self, seq: int, order: int, data: bytes) -> bool:
        """Take an acknowledgement of whatever kind; whether who sent it is to be told that it arrived."""
        progress, now = self.progress, self._alarms.time()
        if self.config.inactive_threshold:
            self.requests.last_s = now
        if data in (b"", b"+ACK", b"+OK") or data.startswith(b"+TERM"):
            return self._acknowledged(seq)
        if data.startswith(b"+NXT"):
            raise Unmodelled("an acknowledgement that asks for the next message")
        if data == b"+WPI":
            if seq in progress.pending:
                progress.put_off(seq, now + self.config.ack_wait / 1e9, now)
                self._watch()
        elif data.startswith(b"-NAK"):
            self._refused(seq, order, data[4:].strip(), now)
        return True

    def _acknowledged(self, seq: int) -> bool:
        # Not delivered by this consumer, but perhaps by one of its name that there was before.
        if seq >= self.next or not self.config.is_explicit:
            return False
        was_full = 0 < self.config.max_ack_pending <= len(self.progress.pending)
        was_pending = self.progress.acknowledge(seq, self._alarms.time(), self.next)
        if self.stream.config.retention == "workqueue" and not is_awaited(seq, self):
            self.stream.remove(seq)
        if was_pending and was_full:
            self.pump()
        return True

    def _settle(self, seq: int) -> None:
        """A message that was pending is there no more."""
        was_full = 0 < self.config.max_ack_pending <= len(self.progress.pending)
        if self.progress.acknowledge(seq, self._alarms.time(), self.next) and was_full:
            self.pump()

    def _refused(self, seq: int, order: int, argument: bytes, now: float) -> None:
        progress = self.progress
        if not progress.floor_order < order <= progress.order or seq not in progress.pending:
            return
        if argument:
            delay_s = nak_delay_s(argument)
            if delay_s is not None:
                progress.again.pop(seq, None)
                progress.put_off(seq, now + max(NAK_S, delay_s), now)
                self._watch(late_s=0.0)
                return
        progress.again.setdefault(seq)
        self.pump()

    # Timers.

    def _watch(self, late_s: float = LATE_S) -> None:
        """Look again when the next pending message may have to come again."""
        due = self.progress.next_due()
        if due is not None and due + late_s < self._alarm_at:
            self._set_alarm(due + late_s)

    def _set_alarm(self, at_s: float) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm_at = at_s
        self._alarm = self._alarms.at(at_s, self._look)

    def _look(self) -> None:
        self._alarm_at, self._alarm = float("inf"), None
        for seq in self.progress.expire(self._alarms.time()):
            if seq < self.stream.first:
                self._settle(seq)
        self._watch()
        if self.progress.again:
            self.pump()

    def _patience_s(self) -> float:
        return self.config.inactive_threshold / 1e9 + self._chance.uniform(0.1, 1.0)

    def _look_for_life(self) -> None:
        if self.stream.consumers.get(self.name) is not self:
            return
        now, patience_s = self._alarms.time(), self._patience_s()
        silent_s = now - self.requests.last_s
        if silent_s < patience_s:
            self._alarms.after(patience_s - silent_s, self._look_for_life)
            return
        self.requests.forget_unheard()
        due = self.progress.next_due()
        if self.requests.count:
            self._alarms.after(patience_s, self._look_for_life)
        elif due is not None and due + patience_s > now:
            self._alarms.at(max(entry[1] for entry in self.progress.pending.values()), self._look_for_life)
        else:
            self._gone(self)

    # Its life.

    def pause(self, until: float) -> None:
        """Deliver nothing until then; one that is resumed goes on when it next has cause to."""
        if self._resume is not None:
            self._resume.cancel()
        self.paused_until = until
        if self.is_paused:
            self._resume = self._alarms.at(until, self.pump)

    def killed(self, chance: random.Random) -> None:
        """The server's process has ended; what it had not written is gone."""
        self.progress.forget(self._alarms.time() - chance.uniform(0.0, WRITTEN_S))
        self.requests.clear()

    def restart(self) -> None:
        """A new process reads what was written."""
        self.progress.restart(self._alarms.time_of(self._alarms.stamp_ns() // 10**9 * 10**9))
        self.next = self.progress.delivered + 1
        self._look_ahead()
        self._alarm_at, self._alarm = float("inf"), None
        if self.progress.pending:
            delay_s = min(self._chance.uniform(0.5, 1.5), self.config.ack_wait / 1e9 + LATE_S)
            self._set_alarm(self._alarms.time() + delay_s)
        if self.is_paused:
            self._resume = self._alarms.at(self.paused_until, self.pump)
        if self.config.inactive_threshold:
            self._alarms.after(self._patience_s(), self._look_for_life)
