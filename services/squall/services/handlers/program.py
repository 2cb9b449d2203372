"""One process of a program that answers lines with lines, and its end, with all that it started.

    line ──► its input      its output ──► lines, with a bound, read as they come
                            its error output ──► the node's log, so many lines a second

It leads a session of its own, and its environment has a mark, by which what left the session is found; see
`squall.bus.guard`. Nothing of this process is inherited but three pipes.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import logging
import os
import secrets
import signal
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from squall.bus.border import printable
from squall.bus.guard_process import MARK, hold, kill_marked
from squall.services.handlers.answers import ANSWER_BYTES_MAX, shown

log = logging.getLogger("squall")

CLOSE_S = 1.0
"""How long a program may take to end once its input has."""

LAST_WORDS_S = 0.5
"""How long the end of a program's output is waited for after its own: what it started may hold that open."""

LOGGED_A_SECOND = 50
"""Lines of its error output; of more in a second it is told how many there were."""

REMEMBERED = 1000
"""Tasks that a process has answered, and may answer twice."""

READ_BYTES = 64 * 1024


class Broken(Exception):
    """It can be asked nothing more; the message says what it did, as a verb and the rest of the sentence."""


class TooLong(Broken):
    """It answered with more than an answer may have."""


class Unread(Broken):
    """It ended, and had read nothing of what it was asked. Definite: nothing was done."""


class Program:
    """A process that was started. Made by `start`.

    Attributes:
        answered: How many tasks it has answered.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], mark: str, asking: int, answers: int, errors: int
    ) -> None:
        self._process = process
        self._mark = mark
        self._asking = asking
        self._lines: asyncio.Queue[bytes | Broken] = asyncio.Queue()
        self._rest = b""
        self._written = 0
        self._known: dict[str, None] = {}
        self._busy = False
        self._output: asyncio.ReadTransport | None = None
        self.answered = 0
        self._reading = asyncio.create_task(self._read(answers))
        self._logging = asyncio.create_task(self._log(errors))
        self._waiting = asyncio.create_task(self._wait())

    @classmethod
    def start(cls, argv: Sequence[str], environment: Mapping[str, str]) -> Program:
        """Start one. Waits until the system has begun it, which takes it milliseconds.

        Raises:
            OSError: It cannot be started.
        """
        mark = f"{secrets.token_hex(8)}.1"
        marks = ":".join(filter(None, (os.environ.get(MARK), mark)))
        ours, theirs = [], []
        try:
            reading, asking = os.pipe()
            ours, theirs = [asking], [reading]
            for _ in range(2):
                reading, writing = os.pipe()
                ours.append(reading)
                theirs.append(writing)
            # Not by the loop: uvloop's children inherit whatever is open here.
            process = subprocess.Popen(
                argv,
                stdin=theirs[0],
                stdout=theirs[1],
                stderr=theirs[2],
                env={**environment, MARK: marks},
                start_new_session=True,
            )
        except BaseException:
            for descriptor in ours:
                os.close(descriptor)
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        os.set_blocking(ours[0], False)
        return cls(process, mark, *ours)

    @property
    def is_over(self) -> bool:
        """Whether it can be asked nothing more."""
        return self._process.poll() is not None or self._reading.done()

    @property
    def how_it_ended(self) -> str:
        """With which status, as a verb and the rest of a sentence."""
        status = self._process.returncode
        if status is None:
            return "closed its output"
        return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"

    async def ask(self, line: bytes) -> bytes:
        """Write one line, and wait for one.

        Raises:
            Unread: It ended before it read any of this.
            Broken: It ended, or answered what is too long.
        """
        self._busy = True
        await self._write(line + b"\n")
        return await self.next()

    async def next(self) -> bytes:
        """The next line of its output.

        Raises:
            Broken, Unread: As above.
        """
        said = await self._lines.get()
        if isinstance(said, Broken):
            raise said
        return said

    def took(self, task: str) -> None:
        """Its answer was taken, and it has nothing in hand."""
        self._busy = False
        self.answered += 1
        self._known[task] = None
        if len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]

    def is_repeat(self, task: str) -> bool:
        """Whether it has answered a task before, so that this says nothing of another."""
        if task in self._known:
            log.warning("the program answered task %s again, which is not taken", printable(task, 60))
            return True
        return False

    async def _write(self, line: bytes) -> None:
        loop = asyncio.get_running_loop()
        left = memoryview(line)
        self._written = 0
        while left:
            try:
                size = os.write(self._asking, left)
            except BlockingIOError:
                try:
                    await _ready(loop.add_writer, self._asking)
                finally:
                    loop.remove_writer(self._asking)
                continue
            except OSError:
                return  # it reads no more; how that ends is told by its output
            self._written += size
            left = left[size:]

    def _has_read_nothing(self) -> bool:
        """Whether all that was written last is still in the pipe; not every system can tell."""
        unread = array.array("i", [0])
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._asking, termios.FIONREAD, unread)
        return self._written == unread[0]

    async def _read(self, descriptor: int) -> None:
        """Cut its output into lines, until it ends."""
        reading, transport = await _pipe(descriptor)
        self._output = transport
        try:
            while data := await reading.read(READ_BYTES):
                *ends, self._rest = (self._rest + data).split(b"\n")
                if any(len(line) > ANSWER_BYTES_MAX for line in (*ends, self._rest)):
                    self._lines.put_nowait(TooLong("answered with a line that is too long"))
                    return
                for end in ends:
                    self._line(end)
        finally:
            transport.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await asyncio.shield(self._waiting)
        self._lines.put_nowait(self._end_of_it())

    def _line(self, line: bytes) -> None:
        if self._busy:
            self._lines.put_nowait(line)
        elif line.strip():  # an answer again, or what nobody can place: it has nothing in hand
            log.warning("the program said what it was not asked for: %s", shown(line))

    def _end_of_it(self) -> Broken:
        how = self.how_it_ended
        if self._rest.strip():
            return Broken(f"{how} in the middle of an answer: {shown(self._rest)}")
        if self._has_read_nothing():
            return Unread(how)
        return Broken(f"{how} before it had answered")

    async def _log(self, descriptor: int) -> None:
        """Pass its error output on to the log of this node, so much of it a second."""
        reading, transport = await _pipe(descriptor)
        rest, since_s, count = b"", time.monotonic(), 0
        try:
            while data := await reading.read(READ_BYTES):
                *ends, rest = (rest + data).split(b"\n")
                rest = rest[-READ_BYTES:]
                for line in ends:
                    if time.monotonic() - since_s >= 1.0:
                        self._left_out(count - LOGGED_A_SECOND)
                        since_s, count = time.monotonic(), 0
                    count += 1
                    if count <= LOGGED_A_SECOND:
                        log.info("program: %s", line[:READ_BYTES].decode(errors="replace").rstrip())
            if rest:
                log.info("program: %s", rest.decode(errors="replace").rstrip())
        finally:
            self._left_out(count - LOGGED_A_SECOND)
            transport.close()

    def _left_out(self, lines: int) -> None:
        if lines > 0:
            log.info("program: and %d lines more in that second", lines)

    async def _wait(self) -> None:
        try:
            descriptor = hold(self._process.pid)
        except OSError:  # too many are open
            descriptor = None
        if descriptor is None:
            await asyncio.to_thread(self._process.wait)
        else:
            try:
                await _ready(asyncio.get_running_loop().add_reader, descriptor)
            finally:
                asyncio.get_running_loop().remove_reader(descriptor)
                os.close(descriptor)
        self._process.wait()
        self._kill_group()  # what it started ends with it
        if self._output is not None:  # what left its session may hold its output open
            asyncio.get_running_loop().call_later(LAST_WORDS_S, self._output.close)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def kill(self) -> None:
        """Kill it, and what it started; what left its session is looked for besides."""
        if self._process.returncode is None:
            self._kill_group()
        with contextlib.suppress(RuntimeError):  # the loop is closed
            asyncio.get_running_loop().run_in_executor(None, kill_marked, {self._mark.encode()})

    async def ended(self) -> None:
        """Wait for its end, and let go of it."""
        await self._waiting
        for task in (self._reading, self._logging):
            task.cancel()
        await asyncio.wait({self._reading, self._logging})
        if self._asking >= 0:
            os.close(self._asking)
            self._asking = -1

    async def close(self) -> None:
        """End it: by the end of its input, and by force if it takes no notice."""
        if self._asking >= 0:
            os.close(self._asking)
            self._asking = -1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await asyncio.shield(self._waiting)
        if self._process.returncode is None:
            self._kill_group()
        await self.ended()


async def _pipe(descriptor: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    file: IO[bytes] = os.fdopen(descriptor, "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
    return reader, transport


async def _ready(watch: Callable[..., Any], descriptor: int) -> None:
    """Wait until a loop that is asked to watch a descriptor says that it is ready."""
    ready = asyncio.get_running_loop().create_future()

    def is_ready() -> None:
        if not ready.done():
            ready.set_result(None)

    watch(descriptor, is_ready)
    await ready
