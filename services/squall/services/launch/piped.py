"""What launchers have in common whose nodes talk over two pipes: how one is begun, heard, watched and ended.

command ──orders──► node ──answers──► command
           a claim of what may be a user's code: read with bounds, believed where it can be seen
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from asyncio.subprocess import Process
from pathlib import Path
from typing import BinaryIO

import msgspec
from msgspec.structs import replace

from squall.bus.border import printable
from squall.bus.guard import Guard
from squall.bus.tasks import task_group
from squall.services.errors import LaunchError, SpecError
from squall.services.launch import Mint, Unit, nothing_minted
from squall.services.launch.silence import LOOK_S, MARGIN_S, Silence
from squall.services.node.control import Lines
from squall.services.node.points import POINT
from squall.services.node.service import Alive, Answer, Asking, Halted, Loading, NodeStart, Order, Ready
from squall.services.patterns.pattern import AGENT
from squall.services.run.directory import open_private

log = logging.getLogger("squall")

READY_S = 60.0
"""How long a node may take to be there, then to import its handler, and then again to serve."""

LAST_WORDS_S = 1.0
"""How long a node that is held up may take to write down where it stands."""

HALTS_MAX = 4
"""Points that a node said it stands at, and nobody has looked at yet."""

_answers = msgspec.json.Decoder(Answer)


class PipedUnit:
    """A node that is heard over a pipe.

    Args:
        process: The child of this command that has the other ends of the pipes.
        silence_s: How long its loop may be silent; None for a node that says nothing of it.
    """

    def __init__(self, node: str, process: Process, silence_s: float | None = None) -> None:
        self.process = process
        self.id = str(process.pid)
        self.ready = Ready()
        self.held = False  # by us: it stands still because it was made to, or was told to
        self.halts: asyncio.Queue[str] = asyncio.Queue(HALTS_MAX)
        self._node = node
        self._silence_s = silence_s
        self.killed_for = ""
        self._lines = Lines()
        self._waiting: list[bytes | None] = []
        self._heard = False
        self._followed = False
        self._over = asyncio.Event()
        self._garbled = False

    async def strike(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended misses it."""
        raise NotImplementedError

    async def stands(self, *, stopped: bool) -> bool:
        """Whether it is seen to stand still, or not to, within a moment, by another word than its own."""
        raise NotImplementedError

    async def status(self) -> int:
        """Its exit status once it has ended, negative for a signal."""
        return await self.process.wait()

    async def ended(self) -> int:
        """Wait for its end. Whoever waits first listens to it meanwhile, and hears of it first."""
        if self._followed:
            await self._over.wait()
            return await self.status()
        self._followed = True
        try:
            async with task_group() as tasks:
                tasks.daemon(self._listen())
                if self._silence_s is not None:
                    tasks.daemon(self._watch(Silence(self._silence_s)))
                return await self.status()
        finally:
            self._over.set()

    async def answer(self) -> Answer | None:
        """Its next answer; None once there is none. What is no answer is skipped."""
        assert self.process.stdout is not None
        while True:
            while self._waiting:
                line = self._waiting.pop(0)
                with contextlib.suppress(ValueError, RecursionError):
                    if line is not None:
                        answer: Answer = _answers.decode(line)
                        return answer
                if not self._garbled:
                    log.warning("%s says what is no answer, for instance %s", self._node, _shown(line))
                self._garbled = True
            data = await self.process.stdout.read(16 * 1024)
            if not data:
                return None
            self._waiting += self._lines.feed(data)

    async def _listen(self) -> None:
        while (answer := await self.answer()) is not None:
            if isinstance(answer, Alive):
                self._heard = True
            elif isinstance(answer, Halted) and POINT.fullmatch(answer.point) and not self.halts.full():
                self.halts.put_nowait(answer.point)

    async def _watch(self, silence: Silence) -> None:
        """End it when its loop is held up; whoever keeps it starts it again."""
        loop = asyncio.get_running_loop()
        while not silence.look(loop.time(), heard=self._heard, held=self.held):
            self._heard = False
            await asyncio.sleep(LOOK_S)
        self.killed_for = f"its handler held up its loop for more than {silence.max_s:g} s"
        log.warning("%s is killed: %s; its log says where", self._node, self.killed_for)
        await self.strike(signal.SIGABRT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_WORDS_S):
                await self.process.wait()
        await self.strike(signal.SIGKILL)


def _shown(line: bytes | None) -> str:
    return "a line that is too long" if line is None else repr(printable(line.decode(errors="replace"), 80))


class PipedLauncher:
    """Starts nodes that are told what they are over a pipe, and answer over another.

    Args:
        guard: Ends the children of this command if it dies.
        logs: Directory of their logs, one file a node.
    """

    def __init__(self, guard: Guard, logs: Path) -> None:
        self._guard = guard
        self._logs = logs

    async def spawn(self, start: NodeStart, log_file: BinaryIO, silence_s: float | None) -> PipedUnit:
        """Begin a node, which is told nothing yet.

        Args:
            log_file: Where all goes that it prints.
            silence_s: See `PipedUnit`.
        """
        raise NotImplementedError

    async def start(self, start: NodeStart, mint: Mint = nothing_minted) -> PipedUnit:
        is_agent = start.role == AGENT
        with open_private(self._logs / f"{start.node}.log", "ab") as log_file:
            unit = await self.spawn(
                start, log_file, start.spec.handler_timeout_s + MARGIN_S if is_agent else None
            )
        loading, is_told = "", False
        try:
            async with asyncio.timeout(READY_S) as limit:
                while not isinstance(answer := await unit.answer(), Ready | None):
                    if isinstance(answer, Asking) and not is_told:
                        is_told = True
                        limit.reschedule(asyncio.get_running_loop().time() + READY_S)
                        credentials = mint() or start.credentials
                        _write(unit.process, replace(self.told(start), credentials=credentials))
                    elif isinstance(answer, Loading):
                        loading = start.spec.handler
                    elif loading:
                        loading = ""  # it has imported it, and its loop turns
                        limit.reschedule(asyncio.get_running_loop().time() + READY_S)
        except (TimeoutError, OSError) as error:
            await unit.strike(signal.SIGKILL)
            await self._reaped(unit)
            if loading:
                raise SpecError(
                    f"the handler {loading} cannot be imported: its module takes more than {READY_S:g} s",
                    "have it do less while it is imported, and the rest with the first task",
                ) from error
            raise LaunchError(f"{start.node} did not answer within {READY_S:g} s") from error
        except BaseException:
            await unit.strike(signal.SIGKILL)
            raise
        if answer is None:
            status = await self._reaped(unit)
            if loading and status not in (-signal.SIGKILL, -signal.SIGTERM):
                raise SpecError(
                    f"the handler {loading} cannot be imported: its module ended with status {status}",
                    f"see {self._logs / (start.node + '.log')}",
                )
            raise LaunchError(
                f"{start.node} ended with status {status} before it was ready",
                f"see {self._logs / (start.node + '.log')}",
            )
        if answer.error:
            await self._reaped(unit)
            if answer.code == SpecError.exit_code:
                raise SpecError(answer.error, answer.remedy)
            raise LaunchError(f"{start.node} did not start: {answer.error}", answer.remedy)
        unit.ready = answer
        return unit

    def told(self, start: NodeStart) -> NodeStart:
        """What a node is told; by default, what it was to be told."""
        return start

    async def _reaped(self, unit: PipedUnit) -> int:
        status = await unit.status()
        self.forget(unit)
        return status

    async def tell(self, unit: Unit, order: Order) -> None:
        process = piped(unit).process
        if process.returncode is None:
            with contextlib.suppress(OSError):
                _write(process, order)

    async def halted(self, unit: Unit) -> str | None:
        node = piped(unit)
        while True:
            async with task_group() as tasks:
                halt = tasks.daemon(node.halts.get())
                end = tasks.daemon(node.process.wait())
                await asyncio.wait({halt, end}, return_when=asyncio.FIRST_COMPLETED)
            if not halt.done() or halt.cancelled():
                return None
            if await node.stands(stopped=True):
                node.held = True
                return halt.result()
            if node.process.returncode is None:
                log.warning("a node said that it stands still at %s, and does not", halt.result())

    async def kill(self, unit: Unit) -> None:
        await piped(unit).strike(signal.SIGKILL)

    async def stop(self, unit: Unit, *, grace_s: float) -> None:
        node = piped(unit)
        await self.tell(unit, Order(stop=True, grace_s=grace_s))
        try:
            async with asyncio.timeout(grace_s):
                await node.process.wait()
        except TimeoutError:
            await node.strike(signal.SIGKILL)
            await node.process.wait()

    def forget(self, unit: Unit) -> None:
        self._guard.release(piped(unit).process.pid)


def _write(process: Process, message: NodeStart | Order) -> None:
    assert process.stdin is not None
    process.stdin.write(msgspec.json.encode(message) + b"\n")


def piped(unit: Unit) -> PipedUnit:
    """A unit of such a launcher."""
    assert isinstance(unit, PipedUnit)
    return unit
