"""Registrar: writes who the members are, as it is asked, and makes room in the ingress. It decides nothing.

    found, join, leave ─► the newest epoch ─► the next one, if nobody wrote one meanwhile ─► answer
    registers ─► tasks that have ended ─► the ingress is trimmed below the first that has not

Two of them do no harm: an epoch is written behind the one that was read, or not at all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from typing import Final

from msgspec.structs import replace
from nats.aio.msg import Msg

from squall.bus import log as bus_log
from squall.bus.codec import decode, encode
from squall.bus.errors import DecodeError, InvalidNameError, RequestError
from squall.bus.jetstream import WRONG_LAST_SEQUENCE, publish
from squall.bus.messages import Message
from squall.bus.subjects import last_token
from squall.bus.tasks import task_group
from squall.bus.vote_messages import (
    MEMBERS_MAX,
    EpochRecord,
    FoundRoster,
    JoinRoster,
    LeaveRoster,
    RosterWritten,
)
from squall.bus.vote_subjects import VoteSubjects
from squall.services.node.service import Service

log = logging.getLogger("squall")

POINTS: Final = {
    "registrar.trimmed": "the ingress is trimmed",
}
"""Where a fault can strike it, and what has happened there. It can be halted at ``registrar.asked`` and
``registrar.written``, too; it passes them only where somebody joins or leaves, so no schedule does."""

WRITE_S = 5.0
TRIES = 10
TRIM_S = 0.2

Command = FoundRoster | JoinRoster | LeaveRoster
VERBS: dict[str, type[FoundRoster] | type[JoinRoster] | type[LeaveRoster]] = {
    "found": FoundRoster,
    "join": JoinRoster,
    "leave": LeaveRoster,
}


async def serve(service: Service) -> None:
    """Write epochs and trim until asked to stop."""
    registrar = _Registrar(service)
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
        tasks.daemon(registrar.hear_submissions())
        tasks.daemon(registrar.hear_registers())
        tasks.daemon(registrar.trim())
        service.ready()
        await service.stop.wait()


class _Registrar:
    def __init__(self, service: Service) -> None:
        self._service = service
        self._votes = VoteSubjects(service.swarm)
        self._submitted: dict[int, str] = {}
        self._ended: set[str] = set()

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
        for _ in range(TRIES):
            stored = await bus_log.last(self._service.connection, self._votes.stream, self._votes.epochs)
            now = decode(stored.data, EpochRecord) if stored is not None else None
            place = stored.sequence if stored is not None else 0
            wanted = following(now, command)
            if wanted is None:
                return RosterWritten(epoch=now.epoch if now is not None else 0, sequence=place)
            if isinstance(wanted, str):
                return RosterWritten(
                    epoch=now.epoch if now is not None else 0, sequence=place, refused=wanted
                )
            await self._write(replace(wanted, write=secrets.token_hex(8)), place)
        raise RequestError(self._votes.epochs, "the epoch could not be written")

    async def _write(self, record: Message, behind: int) -> None:
        """Write an epoch behind the newest one. Whether it stands there is read, not believed."""
        storing = publish(
            self._service.connection,
            self._votes.epochs,
            encode(record),
            timeout_s=WRITE_S,
            headers={"Nats-Expected-Last-Subject-Sequence": str(behind)},
        )
        outcome = await self._service.at.asked("registrar.asked", storing)
        if not outcome.accepted and outcome.code != WRONG_LAST_SEQUENCE:
            log.info("an epoch is not stored: %s", outcome.reason)
        await self._service.at("registrar.written")

    # The ingress.

    async def hear_submissions(self) -> None:
        """Learn where each submission stands, for ever."""
        swarm = self._service.swarm
        async with contextlib.aclosing(
            bus_log.read(self._service.connection, swarm.stream("IN"), swarm.ingress)
        ) as records:
            async for record in records:
                self._submitted[record.sequence] = last_token(record.subject)

    async def hear_registers(self) -> None:
        """Learn what has ended, for ever."""
        swarm = self._service.swarm
        async with contextlib.aclosing(
            bus_log.read(self._service.connection, swarm.stream("RES"), swarm.registers)
        ) as records:
            async for record in records:
                self._ended.add(last_token(record.subject))

    async def trim(self) -> None:
        """Make room for submissions, for ever: those before the first task that has not ended go."""
        trimmed = 0
        stream = self._service.swarm.stream("IN")
        while True:
            await asyncio.sleep(TRIM_S)
            below = 0
            for sequence, task in self._submitted.items():
                if task not in self._ended:
                    break
                below = sequence + 1
            if below <= trimmed:
                continue
            try:
                await bus_log.trim(self._service.connection, stream, below=below)
            except RequestError as error:
                log.info("the ingress is not trimmed: %s", error)
                continue
            trimmed = below
            for sequence in [at for at in self._submitted if at < below]:
                del self._submitted[sequence]
            await self._service.at("registrar.trimmed")


def following(now: EpochRecord | None, command: Command) -> EpochRecord | str | None:
    """The epoch that a command asks for; why it cannot be; None if the one in force is as it asks."""
    if isinstance(command, FoundRoster):
        members = tuple(sorted(command.members, key=lambda member: member.name))
        return None if now is not None else EpochRecord(epoch=1, members=members, rule=command.rule)
    if now is None:
        return "there is no roster yet"
    if isinstance(command, JoinRoster):
        if now.member(command.member.name) == command.member:
            return None
        kept = [member for member in now.members if member.name != command.member.name]
        members = tuple(sorted([*kept, command.member], key=lambda member: member.name))
    else:
        if now.member(command.name) is None:
            return None
        members = tuple(member for member in now.members if member.name != command.name)
    if not 1 <= len(members) <= MEMBERS_MAX:
        return f"a roster has 1 to {MEMBERS_MAX} members"
    return replace(now, epoch=now.epoch + 1, members=members)
