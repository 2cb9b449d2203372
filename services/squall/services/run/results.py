"""Results out: what came of each task, one line of JSON each, as it ends.

    {"id": "order-17", "key": "AAPL", "status": "ok", "value": {"filled": 3}, "effects": [{"side": "buy"}],
     "attempts": 1, "agent": "agent-2", "reason": null, "due_s": 1795795200.0, "ended_s": 1795795200.04,
     "input": "5f6c…"}

A task ends once, with its register, so there is one line of each, whatever is repeated or restarted. A file
of results is also what a later run goes by: a user's task that has ended by it is not run again, and what
comes of the others is added to it.
"""

from __future__ import annotations

import base64
import contextlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, Self

import msgspec

from squall.bus import log as bus_log
from squall.bus.border import printable
from squall.bus.codec import decode
from squall.bus.connection import Connection
from squall.bus.errors import DecodeError
from squall.bus.messages import TaskResult
from squall.bus.pull import Delivery
from squall.bus.subjects import Subjects, last_token
from squall.services.errors import SpecError
from squall.services.intake.earlier import whole_bytes
from squall.services.intake.store import Named, Names
from squall.services.printing import print_document
from squall.services.run.directory import open_private, writing

STDOUT = "-"


def check_place(where: str, *, adds: bool) -> None:
    """See that results can be written somewhere without anything being lost.

    Args:
        adds: Whether the file may hold results of the same tasks, to which these are added.

    Raises:
        SpecError: They cannot.
    """
    path = Path(where)
    if where == STDOUT:
        return
    if not path.parent.is_dir():
        raise SpecError(f"there is no folder {printable(str(path.parent))}", "make it, or name another file")
    if path.is_dir() or (path.is_file() and path.stat().st_size and not adds):
        what = "is a folder" if path.is_dir() else "holds something already"
        raise SpecError(f"{printable(where)} {what}", "name another file with --results")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a task.

    Attributes:
        id, key: As its user calls them.
        status: ``ok``, ``dead`` or ``cancelled``; ``damaged`` if its register cannot be read.
        value: What its handler returned beside effects: as JSON if it is that, else as text, else in Base64
            as ``{"base64": ...}``; null if there is none.
        effects: What was to be carried out.
        attempts: The number of the attempt that this came from.
        agent: Who made that.
        reason: Why it is dead; null if it is not.
        due_s, ended_s: When it was to be offered, and when the broker stored its result, in seconds since
            the epoch.
        input: A digest of its key and body, for a later run; empty if it is no user's own.
    """

    id: str
    key: str
    status: str
    value: object = None
    effects: tuple[msgspec.Raw, ...] = ()
    attempts: int = 0
    agent: str = ""
    reason: str | None = None
    due_s: float | None = None
    ended_s: float
    input: str = ""


class _Ends(Protocol):
    """What is followed: a swarm, as far as that takes."""

    observer: Connection
    swarm: Subjects


class Results:
    """Writes them inside the block, to the end of a file or the standard output.

    Args:
        where: A path, or ``-``.
        tasks: A user's own tasks, by whose names they are called; None for those of a pattern's workload.

    Attributes:
        written: Lines so far.
    """

    def __init__(self, where: str, tasks: Path | None) -> None:
        self._where = where
        self._tasks = tasks
        self._file: BinaryIO | None = None
        self._names: Names | None = None
        self._seen = 0
        self.written = 0

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as held:
            if self._where != STDOUT:
                with writing(Path(self._where)):
                    self._file = held.enter_context(open_private(Path(self._where), "ab"))
                    self._file.truncate(whole_bytes(Path(self._where)))
            if self._tasks is not None:
                self._names = held.enter_context(Names(self._tasks))
            self._held = held.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()

    async def follow(self, swarm: _Ends) -> None:
        """Write each result as it is stored, for as long as this is not cancelled.

        Raises:
            DiskError: The file cannot be written.
        """
        await self._read(swarm, None)

    async def rest(self, swarm: _Ends) -> None:
        """Write what is stored by now and was not written; nothing may follow meanwhile.

        Raises:
            RequestError: The broker does not answer.
            DiskError: The file cannot be written.
        """
        state = await bus_log.state(swarm.observer, swarm.swarm.stream("RES"))
        await self._read(swarm, state["last_seq"])

    async def _read(self, swarm: _Ends, until: int | None) -> None:
        subjects = swarm.swarm
        reading = bus_log.read(
            swarm.observer, subjects.stream("RES"), subjects.registers, after=self._seen, until=until
        )
        async with contextlib.aclosing(reading) as records:
            async for record in records:
                self._write(self._line(record))
                self._seen = record.sequence

    def _write(self, line: Line) -> None:
        if self._file is None:
            print_document(line)
        else:
            with writing(Path(self._where)):
                self._file.write(msgspec.json.encode(line) + b"\n")
        self.written += 1

    def _line(self, record: Delivery) -> Line:
        task = last_token(record.subject)  # whose register it is, its subject says
        named = self._names.of(task) if self._names is not None else Named(task)
        try:
            result = decode(record.data, TaskResult)
        except DecodeError as error:
            return Line(
                id=named.id,
                key=named.key,
                status="damaged",
                reason=str(error),
                ended_s=record.stored_s,
                input=named.input,
            )
        return Line(
            id=named.id,
            key=named.key or result.key,
            status=result.status,
            value=_readable(result.value) if result.value else None,
            effects=tuple(map(msgspec.Raw, result.effects)),
            attempts=result.attempt,
            agent=result.agent,
            reason=result.reason or None,
            due_s=result.submit_s or None,
            ended_s=record.stored_s,
            input=named.input,
        )


def _readable(value: bytes) -> object:
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}
