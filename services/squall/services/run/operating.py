"""What an operator says to a swarm that runs: through a socket in the directory of its run.

    squall operate RUN TARGET VERB ─► RUN/operate.sock ─► the command that runs it ─► whoever leads
                                   ◄── how it stands then, or why not ◄──┘
    squall creds guest NAME ────────► RUN/operate.sock ─► the command that runs it
                                   ◄── credentials, or why not ◄──┘

The socket is there for as long as the swarm serves, and for its user alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from squall.bus.errors import SquallError
from squall.bus.identity import Credentials
from squall.services.errors import LaunchError, SpecError

SOCKET = "operate.sock"

LINE_BYTES_MAX = 4 * 1024
READ_S = 5.0
"""How long whoever connects may take to say something."""

ANSWERED_S = 120.0
"""Longer than any pattern takes to do what it is told, or to find that nobody does."""


Operate = Callable[[str, str], Awaitable[str]]
"""Does what is said of a target, and tells how that stands then; see `Swarm.operate`."""


class Invite(Protocol):
    """Makes credentials for a guest; see `Swarm.invite`."""

    def __call__(self, guest: str, life_s: float) -> Credentials: ...


class Asked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator says.

    Attributes:
        guest, life_s: Whose credentials are wanted, and for how long; then nothing else is.
    """

    target: Annotated[str, Meta(max_length=100)] = ""
    verb: Annotated[str, Meta(max_length=100)] = ""
    guest: Annotated[str, Meta(max_length=100)] = ""
    life_s: float = 0.0


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """How it stands then; or why not, with a remedy and the exit code that it means for a command.

    Attributes:
        creds: The text of a credentials file, if that was asked for; secret. It is for the socket alone.
        url: The broker that it is for.
        expires_s: Until when, in seconds since the epoch.
    """

    stands: str = ""
    creds: str = ""
    url: str = ""
    expires_s: int = 0
    error: str = ""
    remedy: str = ""
    code: int = 0

    def __repr__(self) -> str:
        return f"Answered(stands={self.stands!r}, error={self.error!r}, expires_s={self.expires_s})"

    __str__ = __repr__

    def __rich_repr__(self) -> list[tuple[str, str]]:
        # Rich, which prints local variables in tracebacks, asks for this before it asks for repr.
        return [("stands", self.stands), ("error", self.error)]


# In the command that runs the swarm.


@contextlib.asynccontextmanager
async def listening(
    directory: Path, operate: Operate, invite: Invite | None = None, url: str = ""
) -> AsyncIterator[None]:
    """Hear operators inside the block, one at a time.

    Args:
        invite: Makes credentials for guests, of the broker at ``url``; None where there are none.
    """
    one_at_a_time = asyncio.Lock()

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            async with one_at_a_time:
                answered = await _answered(operate, invite, url, reader)
            writer.write(msgspec.json.encode(answered) + b"\n")
            await writer.drain()
        writer.close()

    path = directory / SOCKET
    with _reached(path) as short:
        path.unlink(missing_ok=True)
        before = os.umask(0o177)  # nothing else makes a file meanwhile: nothing is awaited in between
        try:
            bound = socket.socket(socket.AF_UNIX)
            bound.bind(short)
        finally:
            os.umask(before)
    server = await asyncio.start_unix_server(hear, sock=bound, limit=LINE_BYTES_MAX)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


async def _answered(
    operate: Operate, invite: Invite | None, url: str, reader: asyncio.StreamReader
) -> Answered:
    """Do what an operator says, or say why not."""
    try:
        async with asyncio.timeout(READ_S):
            asked = msgspec.json.decode(await reader.readline(), type=Asked)
    except (TimeoutError, ValueError) as error:
        return Answered(error=f"what was said cannot be read: {error}", remedy="use `squall operate`", code=2)
    try:
        if asked.guest and invite is not None:
            made = invite(asked.guest, asked.life_s)
            return Answered(creds=made.creds_file(), url=url, expires_s=made.expires_s or 0)
        return Answered(stands=await operate(asked.target, asked.verb))
    except SquallError as error:
        return Answered(error=str(error), remedy=error.remedy, code=error.exit_code)


# In the operator's command.


def say(directory: Path, target: str, verb: str) -> str:
    """Say something to the swarm that runs in a directory; how it stands then, in words.

    Raises:
        SpecError: No swarm runs there, or it does not know what was said.
        LaunchError: It was not done, or it is not known whether it was.
    """
    return _ask(directory, Asked(target=target, verb=verb)).stands


def invited(directory: Path, guest: str, life_s: float) -> Answered:
    """Credentials for a guest of the swarm that runs in a directory, with where they are good and how long.

    Raises:
        SpecError, LaunchError: As `say` does; or it has no such guest.
    """
    return _ask(directory, Asked(guest=guest, life_s=life_s))


def _ask(directory: Path, asked: Asked) -> Answered:
    line = msgspec.json.encode(asked) + b"\n"
    try:
        with _reached(directory / SOCKET) as short, socket.socket(socket.AF_UNIX) as to_it:
            to_it.settimeout(ANSWERED_S)
            to_it.connect(short)
            to_it.sendall(line)
            line = to_it.makefile("rb").readline(LINE_BYTES_MAX)
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
        raise SpecError(
            f"no swarm runs in {directory}",
            "name the directory of a run that goes on, as `squall run` told it",
        ) from None
    except OSError as error:
        raise LaunchError(f"the swarm in {directory} does not answer: {error}", "say it again") from None
    try:
        answered = msgspec.json.decode(line, type=Answered)
    except ValueError:
        raise LaunchError(
            f"the swarm in {directory} ended before it answered", "see what it says of itself"
        ) from None
    if answered.error:
        kind = SpecError if answered.code == SpecError.exit_code else LaunchError
        raise kind(answered.error, answered.remedy)
    return answered


@contextlib.contextmanager
def _reached(path: Path) -> Iterator[str]:
    """A path to a socket by which it can be bound and reached, however long its own is: that may have 107
    bytes at most."""
    with contextlib.ExitStack() as stack:
        if Path("/proc/self/fd").is_dir():
            folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, folder)
            yield f"/proc/self/fd/{folder}/{path.name}"
        else:
            yield str(path)
