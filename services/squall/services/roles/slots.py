"""What agents say of themselves to a coordinator: that they are there, and how many tasks they can run.

    agents ── heartbeats, answers ──► a connection of their own ──► slots ──► window
        ◄── who leads, told once ─────────────────────────────────────┘

It is advice: it sizes the window, within the spec's bounds. One agent can say it without end, so it is heard
apart from what a leader lives on, and read now and then.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

from nats.aio.msg import Msg

from squall.bus.codec import decode, encode
from squall.bus.errors import DecodeError, RequestError
from squall.bus.messages import AnnounceLeader, Heartbeat, LeaderAccepted
from squall.bus.subjects import ANY
from squall.services.node.service import Service
from squall.services.patterns.pattern import AGENT

Said = TypeVar("Said", Heartbeat, LeaderAccepted)

AGENT_SILENT_S = 5.0
"""An agent not heard of for this long has no slots."""

READ_EVERY_S = 0.2
"""What an agent says of itself sooner after its last word is not read: a flood must not hold the leader."""


class Slots:
    """The slots of all agents, as they tell.

    Args:
        resize: Called with how many there are now.
        heard: Called with what an agent says of itself.
        tells: Whether it tells agents who leads. Where somebody else does so, over and over, only heartbeats
            are heard: right behind an answer each would come too soon to be read.
    """

    def __init__(
        self,
        service: Service,
        term: int,
        resize: Callable[[int], None],
        heard: Callable[[str, Heartbeat], None],
        *,
        tells: bool = True,
    ) -> None:
        self._service = service
        self._term = term
        self._resize = resize
        self._heard = heard
        self._tells = tells
        self._slots: dict[str, tuple[int, float]] = {}
        self._read_s: dict[str, float] = {}
        self._told: set[str] = set()
        self._untold: asyncio.Queue[str] = asyncio.Queue()

    async def hear(self) -> None:
        """Hear agents, and tell each who leads, one that joins too; its answer tells its slots at once.

        Never returns.
        """
        swarm = self._service.swarm
        async with self._service.connection.apart() as apart:
            await apart.subscribe(swarm.heartbeat(AGENT, ANY), self._on_heartbeat)
            if not self._tells:
                await asyncio.Event().wait()
            await apart.subscribe(swarm.reply(ANY, ANY), self._on_reply)
            await self._announce()

    async def _announce(self) -> None:
        service = self._service
        command = AnnounceLeader(holder=service.node, term=self._term, token=secrets.token_hex(8))
        for node in service.pattern.topology(service.spec).of_role(AGENT):
            self._tell(node.name)
        while True:
            subject = service.swarm.command(await self._untold.get(), "lead")
            with contextlib.suppress(RequestError):
                await service.connection.publish(subject, encode(command), confirm=False)

    def _tell(self, agent: str) -> None:
        """Have an agent told who leads, once."""
        if agent not in self._told:
            self._told.add(agent)
            self._untold.put_nowait(agent)

    def _on_heartbeat(self, message: Msg) -> None:
        # The subject is what the sender's credentials allow; what the body says of itself is not.
        role, node = message.subject.split(".")[-2:]
        heartbeat = self._read(node, message, Heartbeat) if role == AGENT else None
        if heartbeat is not None:
            self._tell(node)
            self._heard(node, heartbeat)
            self._note(node, heartbeat.slots)

    def _on_reply(self, message: Msg) -> None:
        node = message.subject.split(".")[-2]
        answer = self._read(node, message, LeaderAccepted)
        if answer is not None:
            self._note(node, answer.slots)

    def _read(self, node: str, message: Msg, kind: type[Said]) -> Said | None:
        """What a node says; None if it comes too soon, or cannot be read."""
        if self._is_too_soon(node):
            return None
        try:
            return decode(message.data, kind)
        except DecodeError as error:
            self._service.complaints("unreadable", f"what agents say on {message.subject}: {error}")
            return None

    def _is_too_soon(self, node: str) -> bool:
        now_s = time.monotonic()
        if now_s - self._read_s.get(node, -READ_EVERY_S) < READ_EVERY_S:
            return True
        self._read_s[node] = now_s
        return False

    def _note(self, node: str, slots: int) -> None:
        now_s = time.monotonic()
        self._slots[node] = (min(slots, self._service.spec.slots), now_s)
        self._resize(sum(slots for slots, seen_s in self._slots.values() if now_s - seen_s < AGENT_SILENT_S))
