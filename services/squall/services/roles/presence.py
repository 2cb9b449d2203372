"""Who is there: the rules of suspicion, on the links of one peer.

links ─► what was said ─► Detector ─► what to say ─► links
                             └─► who is suspect ─► who proposes; alarms
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from nats.aio.msg import Msg

from squall.bus.codec import decode, encode
from squall.bus.errors import DecodeError, RequestError
from squall.bus.vote_log import LINK_BYTES_MAX
from squall.bus.vote_messages import Ack, Ping, PingRequest
from squall.bus.vote_subjects import LINKS, VoteSubjects
from squall.services.node.service import Service
from squall.services.rules.suspicion import Detector, Send, Step, Timers

log = logging.getLogger("squall")

VERBS: dict[str, type[Ping | PingRequest | Ack]] = {"ping": Ping, "probe": PingRequest, "ack": Ack}

WAITING_MAX = 1024
"""Messages that may wait to be looked at; the oldest are let go."""


class Presence:
    """What one peer says of itself, and hears of others.

    Args:
        neighbours: Of some members those that this peer has links with.
        changed: Told who is not taken to be there, whenever that changes.
    """

    def __init__(
        self,
        service: Service,
        timers: Timers,
        neighbours: Callable[[Sequence[str]], list[str]],
        changed: Callable[[frozenset[str]], None],
    ) -> None:
        self._neighbours = neighbours
        self._service = service
        self._changed = changed
        self._subjects = VoteSubjects(service.swarm)
        self._news = asyncio.Event()
        self._heard: deque[tuple[str, Ping | PingRequest | Ack]] = deque(maxlen=WAITING_MAX)
        self._stops: dict[str, Callable[[], Awaitable[None]]] = {}
        self._members: tuple[str, ...] | None = None
        self._detector = Detector(
            service.node,
            timers=timers,
            incarnation=service.start.incarnation,
            chance=random.Random(f"{service.spec.seed}/{service.node}/{service.start.incarnation}/presence"),
            now_s=time.monotonic(),
        )

    def among(self, members: tuple[str, ...]) -> None:
        """Who the members are, by the newest epoch."""
        if members != self._members:
            self._members = members
            self._news.set()

    async def keep(self) -> None:
        """Ask, answer and tell, for ever."""
        known: tuple[str, ...] | None = None
        while True:
            self._news.clear()
            if self._members != known and self._members is not None:
                known = self._members
                await self._listen_to(self._neighbours(known))
                self._detector.know(known, [*self._stops], time.monotonic())
            steps: list[Step] = []
            while self._heard:
                sender, message = self._heard.popleft()
                steps += self._detector.heard(sender, message, time.monotonic())
            steps += self._detector.tick(time.monotonic())
            await self._take(steps)
            wait_s = self._detector.due_s() - time.monotonic()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.001, wait_s)):
                    await self._news.wait()

    async def leave(self) -> None:
        """Tell the others that this peer goes."""
        await self._take(self._detector.leave())

    async def _listen_to(self, names: list[str]) -> None:
        for name in [name for name in self._stops if name not in names]:
            await self._stops.pop(name)()
        for name in [name for name in names if name not in self._stops]:
            subject = self._subjects.told(name, self._service.node, "*")
            self._stops[name] = await self._service.connection.subscribe(
                subject, self._on_message, stream=self._service.swarm.stream(LINKS), pending_max=WAITING_MAX
            )

    def _on_message(self, message: Msg) -> None:
        sender, _, verb = message.subject.rsplit(".", 3)[-3:]
        kind = VERBS.get(verb)
        if kind is None:
            return
        try:
            self._heard.append((sender, decode(message.data, kind)))
        except DecodeError as error:
            self._service.complaints("unreadable", f"what {sender} says: {error}")
            return
        self._news.set()

    async def _take(self, steps: list[Step]) -> None:
        is_changed = False
        for step in steps:
            if isinstance(step, Send):
                await self._send(step)
                continue
            is_changed = True
            self._service.counters[step.standing] += 1
            log.info("%s is taken for %s", step.node, step.standing)
            self._service.history("presence", "ok", agent=step.node, standing=step.standing)
        if is_changed:
            self._changed(self._detector.suspects())

    async def _send(self, step: Send) -> None:
        verb = next(name for name, kind in VERBS.items() if isinstance(step.message, kind))
        subject = self._subjects.link(self._service.node, step.target, verb)
        self._service.counters["link_messages"] += 1
        with contextlib.suppress(RequestError):  # lost: that is what this is about
            await self._service.connection.publish(
                subject, encode(step.message, LINK_BYTES_MAX), confirm=False
            )
