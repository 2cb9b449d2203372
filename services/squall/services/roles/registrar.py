"""Registrar: writes who the members are, as it is asked, and clears ingress and log. It decides nothing.

    found, join, leave ─► the newest epoch ─► the next one, if nobody wrote one meanwhile ─► answer
    registers ─► tasks that have ended ─► letters of the dead, and room in the ingress: see `clearing.py`
    a log that is nearly half full ─► what is over goes: see `log_trimming.py`

Two of them do no harm: an epoch is written behind the one that was read, or not at all.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from nats.aio.msg import Msg

from squall.bus import roster
from squall.bus.codec import decode, encode
from squall.bus.errors import DecodeError, InvalidNameError, RequestError, RosterError
from squall.bus.subjects import last_token
from squall.bus.tasks import task_group
from squall.bus.vote_messages import (
    FoundRoster,
    JoinRoster,
    LeaveRoster,
    RosterWritten,
)
from squall.bus.vote_subjects import VoteSubjects
from squall.services.node.service import Service
from squall.services.roles.clearing import Clearing
from squall.services.roles.log_trimming import LogTrimming

log = logging.getLogger("squall")

POINTS: Final = {
    "registrar.asked": "the broker was asked to store an epoch, and has not answered",
    "registrar.written": "an epoch is stored, nobody was told so",
    "registrar.trimmed": "the ingress is trimmed",
}
"""Where a fault can strike it, and what has happened there."""

SELDOM: Final = ("registrar.asked", "registrar.written")
"""Passed only where somebody joins or leaves."""

Command = FoundRoster | JoinRoster | LeaveRoster
VERBS: dict[str, type[FoundRoster] | type[JoinRoster] | type[LeaveRoster]] = {
    "found": FoundRoster,
    "join": JoinRoster,
    "leave": LeaveRoster,
}


async def serve(service: Service) -> None:
    """Write epochs and trim until asked to stop."""
    registrar, trimming = _Registrar(service), LogTrimming(service)
    clearing = Clearing(service, has_room=trimming.has_room)
    async with task_group() as tasks:
        waiting: asyncio.Queue[Command] = asyncio.Queue(64)

        def on_command(message: Msg) -> None:
            kind = VERBS.get(last_token(message.subject))
            try:
                if kind is not None and not waiting.full():
                    waiting.put_nowait(decode(message.data, kind))
            except DecodeError as error:
                service.complaints("unreadable", f"command: {error}")

        async def obey() -> None:
            while True:
                await registrar.obey(await waiting.get())

        await service.connection.subscribe(service.swarm.command(service.node, "*"), on_command)
        tasks.daemon(obey())
        tasks.daemon(clearing.hear_submissions())
        tasks.daemon(clearing.hear_registers())
        tasks.daemon(clearing.keep_clear())
        tasks.daemon(trimming.keep_trimmed())
        service.ready()
        await service.stop.wait()


class _Registrar:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._votes = VoteSubjects(service.swarm)

    # The roster.

    async def obey(self, command: Command) -> None:
        """Carry a command out, and answer it; one that was carried out before is answered only."""
        try:
            answer = await self._changed(command)
        except RequestError as error:
            log.info("the roster was not changed: %s", error)
            return  # who asked asks again
        try:
            answer_to = self._service.swarm.reply(self._service.node, command.token)
            await self._service.connection.publish(answer_to, encode(answer), confirm=False)
        except (RequestError, InvalidNameError) as error:
            log.info("a command is not answered: %s", error)

    async def _changed(self, command: Command) -> RosterWritten:
        """Have the roster be as it is asked to be; which epoch is in force then.

        Raises:
            RequestError: It is not known whether it is.
        """
        try:
            now = await roster.change(
                self._service.connection,
                self._votes,
                change_of(command),
                asked=lambda writing: self._service.at.asked("registrar.asked", writing),
            )
        except RosterError as error:
            there = await roster.newest(self._service.connection, self._votes)
            epoch, sequence = (there.record.epoch, there.sequence) if there else (0, 0)
            return RosterWritten(epoch=epoch, sequence=sequence, refused=str(error))
        await self._service.at("registrar.written")
        return RosterWritten(epoch=now.record.epoch, sequence=now.sequence)


def change_of(command: Command) -> roster.Change:
    """What a command asks for."""
    match command:
        case FoundRoster():
            return roster.founding(command.members, command.rule)
        case JoinRoster():
            return roster.joining(command.member)
        case LeaveRoster():
            return roster.leaving(command.name)
