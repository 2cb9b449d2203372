"""Says who leads; and hears it, refuses what a lower term says, and notices when nobody leads any more.

leader ──announcement──► term below the highest? ── yes ─► refused, counted, told
                                 │ no
                                 ▼
                          obeyed ─► degraded until now? it is over
two leases of silence ─► degraded
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable

from nats.aio.msg import Msg

from squall.bus.border import NAME_LENGTH_MAX, printable
from squall.bus.codec import decode, encode
from squall.bus.errors import DecodeError, InvalidNameError, RequestError
from squall.bus.messages import AnnounceLeader, LeaderAccepted
from squall.bus.subjects import GATEWAY
from squall.bus.tasks import Tasks
from squall.services.node.service import Service
from squall.services.patterns.pattern import AGENT
from squall.services.rules.degrade import LeaderWatch

log = logging.getLogger("squall")

LOOKS = 10
"""How often a lease it is looked whether the leader is lost."""


async def announce(service: Service, term: int, lease_s: float) -> None:
    """Say who leads three times a lease, so that two leases of silence say that nobody does. Never returns.

    It is said also once the lease is over: until a newer term is claimed, this one holds.
    """
    nodes = [
        node.name for node in service.pattern.topology(service.spec).nodes if node.role in (AGENT, GATEWAY)
    ]
    while True:
        command = AnnounceLeader(holder=service.node, term=term, token=secrets.token_hex(8))
        for node in nodes:
            with contextlib.suppress(RequestError):
                await service.connection.publish(
                    service.swarm.command(node, "lead"), encode(command), confirm=False
                )
        await asyncio.sleep(lease_s / 3)


class Announced:
    """Who leads, as far as this node has heard.

    Args:
        lease_s: How long a silent leader is left in office.
        mode: What the node does without a leader, for the history.
        changed: Called when a degraded time begins or ends.
    """

    def __init__(
        self, service: Service, lease_s: float, mode: str, changed: Callable[[], None] = lambda: None
    ) -> None:
        self._service = service
        self._lease_s = lease_s
        self._mode = mode
        self._changed = changed
        self._watch = LeaderWatch(lease_s, asyncio.get_running_loop().time())
        self._told = 0

    @property
    def degraded(self) -> bool:
        """Whether nobody leads."""
        return self._watch.degraded

    @property
    def term(self) -> int:
        """The highest term that was announced; 0 if none was."""
        return self._watch.highest.term

    async def listen(self, tasks: Tasks, *, slots: int | None) -> None:
        """Hear commands from now on, and look at the time.

        Args:
            slots: What an answer says of this node; None for a node that does not answer.
        """
        service = self._service

        def on_command(message: Msg) -> None:
            command = self._hear(message)
            if command is not None and slots is not None:
                tasks.daemon(self._answer(command, slots))

        await service.connection.subscribe(service.swarm.command(service.node, "lead"), on_command)
        tasks.daemon(self._look())

    def _hear(self, message: Msg) -> AnnounceLeader | None:
        service = self._service
        try:
            command = decode(message.data, AnnounceLeader)
        except DecodeError as error:
            service.complaints("unreadable", f"command: {error}")
            return None
        heard = self._watch.announced(command.term, asyncio.get_running_loop().time())
        holder = printable(command.holder, NAME_LENGTH_MAX)
        if heard == "refused":
            highest = self._watch.highest.term
            service.complaints("commands_refused", f"{holder} of term {command.term}, and {highest} leads")
            facts = {"term": command.term, "highest": highest, "holder": holder}
            service.history("command", "fail", what="lead", **facts)
        elif (
            command.term != self._told
        ):  # a lower one too, if ever one were obeyed: the history shall show it
            self._told = command.term
            service.history("command", "ok", what="lead", term=command.term, holder=holder)
        if heard == "returned":
            service.history("degraded", "ok", what="end", term=command.term)
            self._changed()
        return command

    async def _answer(self, command: AnnounceLeader, slots: int) -> None:
        """Answer on this node's own reply subject, never on an inbox that the caller names."""
        service = self._service
        answer = LeaderAccepted(node=service.node, term=self._watch.highest.term, slots=slots)
        try:
            answer_to = service.swarm.reply(service.node, command.token)
            await service.connection.publish(answer_to, encode(answer), confirm=False)
        except (InvalidNameError, RequestError) as error:
            log.info("command not answered: %s", error)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        service = self._service
        while True:
            if self._watch.look(loop.time()):
                service.counters["degraded"] += 1
                term = self._watch.highest.term
                log.warning("nobody leads: %s", self._mode)
                service.history("degraded", "ok", what="begin", term=term, mode=self._mode)
                self._changed()
            await asyncio.sleep(self._lease_s / LOOKS)
