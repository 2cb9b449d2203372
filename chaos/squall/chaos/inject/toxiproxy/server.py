"""One toxiproxy-server: start, ready, watched, stopped.

    start ──► listens ──► proves to be ours ──► ready ──► it ends, or turns mute ──► HarnessBrokenError

It is not started again: its proxies and their faults went with it, and so did
the meaning of the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NoReturn

from squall.bus.errors import first_error
from squall.bus.guard import Guard, end
from squall.bus.tasks import task_group
from squall.chaos.errors import HarnessBrokenError, PortTakenError
from squall.chaos.inject.toxiproxy.access import Access
from squall.chaos.inject.toxiproxy.find import Program, Progress, find_toxiproxy

HOST = "127.0.0.1"

OCTETS = range(1, 255)
"""Of an address in 127.0.0.0/8 that is drawn."""

READY_S = 20.0
"""How long a start may take; it takes milliseconds."""

STARTS_MAX = 5
"""Starts in a row that may find their port taken."""

STOP_S = 5.0
"""How long a stop may take before it is a kill."""

ANSWER_S = 2.0
"""How long it may take to say its version."""

WATCH_EVERY_S = 1.0
"""Between two questions whether it still answers."""

MUTE_MAX = 3
"""Questions in a row without an answer before it counts as hung; one may be a busy machine."""

LOOK_S = 0.01

LISTEN_FAILED = "Server finished with error"
"""Said by a server that has no API, and lives on."""


def _silent(_: str) -> None:
    """Nobody listens."""


class Toxiproxy:
    """A running toxiproxy-server. Made by `running`.

    Attributes:
        url: Where its API is. Without a port that was asked for it is at an address of this machine that was
            drawn for it, one of 2²⁴, so that it cannot be guessed; /proc tells it to whoever may read there.
        access: Who asks it.
        version: Its version, as it states it.
        program: Which program runs.
        pid: Its process.
    """

    def __init__(self, program: Program, guard: Guard, log: Path) -> None:
        self._program = program.path
        self._guard = guard
        self._log = log.absolute()
        self._log_start = 0
        self._process: Process | None = None
        self._host, self._port = HOST, 0
        self.access = Access(self._log, public=False)
        self.url = ""
        self.version = program.version
        self.program = program
        self.pid = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls, *, guard: Guard, log: Path, port: int = 0, progress: Progress = _silent
    ) -> AsyncIterator[Toxiproxy]:
        """A server that is ready inside the block, watched there, and stopped after it.

        Args:
            guard: Ends the server if this process dies.
            log: File its log is appended to.
            port: Of its API; 0 is any that is free.
            progress: Told in a sentence what takes long, if it must be built.

        Raises:
            HarnessBrokenError: It cannot be found, built or started, or it ended or hung; the latter also
                cancels the block.
        """
        server = cls(await find_toxiproxy(guard, progress), guard, log)
        try:
            await server._start(port)
            async with task_group() as tasks:
                tasks.daemon(server._until_ended())
                tasks.daemon(server._until_mute())
                yield server
        except BaseExceptionGroup as group:
            # The block often runs into the loss of its server before it is told; that is the same news.
            broken = first_error(group, HarnessBrokenError)
            if isinstance(broken, HarnessBrokenError):
                raise broken from group
            raise
        finally:
            await server._stop()

    async def _start(self, port: int) -> None:
        self.access = Access(self._log, public=port != 0)
        for _ in range(STARTS_MAX):
            self._host = HOST if port else drawn_host()
            self._port = port or free_port(self._host)
            process = await self._spawn()
            async with task_group() as tasks:
                ready = tasks.daemon(self._answers())
                ended = tasks.daemon(process.wait())
                done, _ = await asyncio.wait(
                    {ready, ended}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED
                )
            if not done:
                raise HarnessBrokenError(
                    f"toxiproxy-server is not ready after {READY_S:g} s: {self._last_words()}; "
                    f"see {self._log}"
                )
            if ended in done:
                raise HarnessBrokenError(self._obituary())
            if ready.result():
                self.pid = process.pid
                self.url = f"http://{self._host}:{self._port}"
                return
            await self._stop()
        raise HarnessBrokenError(
            f"toxiproxy-server did not get a port in {STARTS_MAX} starts: {self._last_words()}; "
            f"see {self._log}"
        )

    async def _spawn(self) -> Process:
        try:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            log = self._log.open("ab")
        except OSError as error:
            raise HarnessBrokenError(
                f"toxiproxy-server's log cannot be kept in {self._log}: {error.strerror or error}",
                "name a directory that can be written and has room",
            ) from error
        with log:
            self._log_start = log.tell()
            self.access.begin(self._log_start)
            try:
                self._process = await self._guard.spawn(
                    self._program,
                    "-host",
                    self._host,
                    "-port",
                    str(self._port),
                    stdout=log,
                    stderr=log,
                    env={**os.environ, "LOG_LEVEL": "debug"},  # at this level it logs who asks
                )
            except OSError as error:
                raise HarnessBrokenError(f"{self._program} cannot be run: {error.strerror}") from error
        return self._process

    async def _answers(self) -> bool:
        """Wait until it answers (True), or says that another has its port (False).

        With its port taken it lives on without an API, and the other one answers, who may well be a
        Toxiproxy too. So the question carries a name drawn for it, which must turn up in our server's log.
        """
        while True:
            if await self._says_version() and self.access.agent in self._said():
                return True
            if LISTEN_FAILED in self._said():
                return False
            await asyncio.sleep(LOOK_S)

    async def _until_ended(self) -> NoReturn:
        assert self._process is not None
        await self._process.wait()
        raise HarnessBrokenError(self._obituary())

    async def _until_mute(self) -> NoReturn:
        unanswered = 0
        while unanswered < MUTE_MAX:
            await asyncio.sleep(WATCH_EVERY_S)
            unanswered = 0 if await self._says_version() else unanswered + 1
        raise HarnessBrokenError(
            f"toxiproxy-server hangs: process {self.pid} left {MUTE_MAX} questions in a row unanswered, "
            f"for {ANSWER_S:g} s each; see {self._log}"
        )

    async def _says_version(self) -> bool:
        """Whether something at its address answers the question for its version in time."""
        question = f"GET /version HTTP/1.0\r\nHost: {self._host}\r\nUser-Agent: {self.access.agent}\r\n\r\n"
        with contextlib.suppress(
            OSError, ValueError
        ):  # TimeoutError is an OSError; an endless line ValueError
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_connection(self._host, self._port)
                try:
                    self.access.sending()
                    writer.write(question.encode())
                    return b" 200 " in await reader.readline()
                finally:
                    writer.close()
        return False

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        await end(process, grace_s=STOP_S)
        self._guard.release(process.pid)
        self._process = None

    # Its log.

    def _said(self) -> str:
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode(errors="replace")
        return ""

    def _last_words(self) -> str:
        """Why it panicked or does not listen, or else the last it said."""
        lines = [line for line in self._said().splitlines() if line.strip()]
        reasons = [
            line for line in lines if line.startswith(("panic:", "fatal error:")) or LISTEN_FAILED in line
        ]
        return (reasons or lines or ["it wrote nothing to its log"])[-1].strip()

    def _obituary(self) -> str:
        assert self._process is not None
        code = self._process.returncode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        return f"toxiproxy-server {how}: {self._last_words()}; see {self._log}"


def check_port(port: int) -> None:
    """See that nobody listens at a port that was asked for.

    Raises:
        PortTakenError: Somebody does, or may.
    """
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what only lingers is no hindrance
        try:
            candidate.bind((HOST, port))
        except OSError as error:
            raise PortTakenError(
                f"port {port} cannot be had for Toxiproxy's API: {error.strerror}",
                "name another, or none to have any that is free",
            ) from error


def free_port(host: str = HOST) -> int:
    """A port that nobody has at the moment."""
    with socket.socket() as candidate:
        candidate.bind((host, 0))
        return int(candidate.getsockname()[1])


def drawn_host() -> str:
    """An address of this machine alone that nobody guesses; 127.0.0.1 where the system knows no other."""
    host = "127." + ".".join(str(secrets.choice(OCTETS)) for _ in range(3))
    try:
        free_port(host)
    except OSError:
        return HOST
    return host
