"""Pull requests that wait at a consumer, in the order in which they are served.

asked ─► waits ─► served one message at a time, then last again ─► all it asked for
          │  ├─► its time is over: 408, with what it did not get
          │  └─► nobody listens to its inbox any more: forgotten
          └── heartbeats, whenever it heard nothing for that long
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec

from squall.chaos.model.clock import Alarms, Handle
from squall.chaos.model.post import Post

if TYPE_CHECKING:
    from squall.chaos.model.sessions import Subscription


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request. Times are in nanoseconds; 0 is none."""

    batch: int = 0
    expires: int = 0
    max_bytes: int = 0
    no_wait: bool = False
    idle_heartbeat: int = 0


TIDY_S = 0.01
"""Where there is no room, how long after the last look it is looked again for requests that nobody hears."""


class Request:
    """A request that waits.

    Attributes:
        left: Messages it may yet get; ``delivered`` is what it got.
        bytes_left: Bytes it may yet get; 0 is any number.
    """

    __slots__ = (
        "bytes_left",
        "delivered",
        "done",
        "due",
        "expires",
        "heartbeat_s",
        "inbox",
        "left",
        "no_wait",
        "timer",
    )

    def __init__(self, inbox: str, asked: Asked, now: float) -> None:
        self.inbox = inbox
        self.left = asked.batch
        self.delivered = 0
        self.bytes_left = asked.max_bytes
        self.expires = now + asked.expires / 1e9 if asked.expires else 0.0
        self.heartbeat_s = asked.idle_heartbeat / 1e9
        self.due = now + self.heartbeat_s
        self.no_wait = asked.no_wait
        self.done = False
        self.timer: Handle | None = None


class Requests:
    """What waits at one consumer.

    Args:
        most: How many may wait.
        beat: What a heartbeat tells: how many messages were delivered, and up to which place of the stream.
        wake: Has the consumer look what there is to deliver, as the server does at each heartbeat.

    Attributes:
        count: How many wait.
        last_s: When the last one came, or the last message went to one.
    """

    __slots__ = (
        "_alarms",
        "_beat",
        "_most",
        "_no_waits",
        "_post",
        "_tidied_s",
        "_waiting",
        "_wake",
        "count",
        "last_s",
    )

    def __init__(
        self,
        most: int,
        post: Post,
        alarms: Alarms,
        beat: Callable[[], tuple[int, int]],
        wake: Callable[[], None],
    ) -> None:
        self._most = most
        self._post = post
        self._alarms = alarms
        self._beat = beat
        self._wake = wake
        self._waiting: deque[Request] = deque()
        self._no_waits = 0
        self._tidied_s = float("-inf")
        self.count = 0
        self.last_s = float("-inf")

    def add(self, inbox: str, asked: Asked) -> bool:
        """Have a request wait; whether there was room for it."""
        if self.count >= self._most:
            if self._alarms.time() > self._tidied_s + TIDY_S:
                self.forget_unheard()
            if self.count >= self._most:
                return False
        self.last_s = self._alarms.time()
        request = Request(inbox, asked, self.last_s)
        self._waiting.append(request)
        self.count += 1
        self._no_waits += request.no_wait
        if request.heartbeat_s:
            due = min(request.due, request.expires)
            request.timer = self._alarms.at(due, self._elapse, request)
        elif request.expires:
            request.timer = self._alarms.at(request.expires, self._elapse, request)
        return True

    def serve(self, size: int) -> tuple[Request, Sequence[Subscription]] | None:
        """Who gets the next message, of so many bytes, and who listens there; None if nobody waits."""
        waiting = self._waiting
        while waiting:
            request = waiting[0]
            if request.done:
                waiting.popleft()
                continue
            if request.bytes_left:
                if size > request.bytes_left:
                    self._tell_left(request, "409", "Message Size Exceeds MaxBytes")
                    self._end(request)
                    continue
                request.bytes_left -= size
                if not request.bytes_left:
                    request.left = 1
            ears = self._post.ears(request.inbox)
            if not ears:
                self._end(request)
                continue
            request.delivered += 1
            request.left -= 1
            if request.left > 0 and self.count > 1:
                waiting.rotate(-1)
            return request, ears
        return None

    def served(self, request: Request) -> None:
        """It has its message now: see whether that was the last."""
        now = self.last_s = self._alarms.time()
        if request.left > 0:
            request.due = now + request.heartbeat_s
            return
        self._end(request)
        if request.bytes_left:
            self._tell_left(request, "409", "Batch Completed")

    def at_end(self) -> None:
        """There is nothing more to deliver: those that do not want to wait for it end."""
        if self._no_waits:
            for request in list(self._waiting):
                if request.no_wait and not request.done and (not request.expires or request.delivered):
                    self._end(request)
                    self._post.status(request.inbox, "404", "No Messages")

    def wanted(self) -> int:
        """How many messages those that wait and are listened to may yet get."""
        self.forget_unheard()
        return sum(request.left for request in self._waiting if not request.done)

    def forget_unheard(self) -> None:
        """Forget those that nobody listens to any more."""
        self._tidied_s = self._alarms.time()
        for request in list(self._waiting):
            if not request.done and not self._post.ears(request.inbox):
                self._end(request)
        if self.count < len(self._waiting):
            self._waiting = deque(request for request in self._waiting if not request.done)

    def refuse(self) -> None:
        """Tell all of them that the consumer is gone."""
        for request in list(self._waiting):
            if not request.done:
                self._end(request)
                self._post.status(request.inbox, "409", "Consumer Deleted")

    def clear(self) -> None:
        """The server's process has ended."""
        self._waiting.clear()
        self.count = self._no_waits = 0

    def _end(self, request: Request) -> None:
        request.done = True
        self.count -= 1
        self._no_waits -= request.no_wait
        if request.timer is not None:
            request.timer.cancel()
        waiting = self._waiting
        while waiting and waiting[0].done:
            waiting.popleft()

    def _tell_left(self, request: Request, code: str, description: str) -> None:
        self._post.status(
            request.inbox,
            code,
            description,
            Nats_Pending_Messages=str(request.left),
            Nats_Pending_Bytes=str(request.bytes_left),
        )

    def _elapse(self, request: Request) -> None:
        """A request's time is over, or it may have to hear something."""
        now = self._alarms.time()
        if request.expires and now >= request.expires:
            self._end(request)
            self._tell_left(request, "408", "Request Timeout")
        elif now >= request.due and not self._post.ears(request.inbox):
            self._end(request)
        else:
            if now >= request.due:
                self._tell_alive(request, now)
            due = min(request.due, request.expires) if request.expires else request.due
            request.timer = self._alarms.at(due, self._elapse, request)
        self.at_end()
        self._wake()

    def _tell_alive(self, request: Request, now: float) -> None:
        request.due = now + request.heartbeat_s
        orders, place = self._beat()
        self._post.status(
            request.inbox,
            "100",
            "Idle Heartbeat",
            Nats_Last_Consumer=str(orders),
            Nats_Last_Stream=str(place),
        )
