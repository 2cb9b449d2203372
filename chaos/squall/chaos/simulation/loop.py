"""The loop: asyncio on virtual time, for many simulated processes at once.

    ready, in order ──► run one ──► whose process is it? ──┬─► alive: called
       ▲                                                   ├─► stands still: parked until it goes on
       └── nothing ready: time jumps to the next timer     └─► dead: kept, and never called

A callback belongs to the process in whose context it was made; tasks, timers and callbacks inherit that. So a
process is stopped as SIGSTOP stops it, between two callbacks, and is killed as SIGKILL kills it: nothing of
it is run to an end, and what it had open is closed by whoever keeps it.

No package was found that does this. `looptime` and `aiotools` move the clock of a real loop, with its
selector, sockets and threads; neither knows of processes. This one is an `asyncio.AbstractEventLoop` that has
timers and callbacks and nothing else: what would reach the outside raises NotImplementedError.
"""

from __future__ import annotations

import asyncio
import functools
import traceback
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from squall.chaos.model.errors import Unmodelled
from squall.services.handlers.mistakes import Frame

T = TypeVar("T")

if TYPE_CHECKING:
    _Loop = Any
else:  # where a type checker wants all of what is not implemented on purpose
    _Loop = asyncio.AbstractEventLoop

SPINS_MAX = 1000
"""Turns of the loop at one instant; then time passes, as it does where somebody spins for real."""

SPIN_S = 1e-4

SPINNING_MAX = 500
"""How often time passes so before it is taken for a loop without an end."""

TURNS_MAX = 5_000_000
"""Callbacks of one run; more is taken for a loop without an end."""


class SimulationError(Exception):
    """The simulated world cannot go on; this is never the swarm's doing."""


class OutsideError(Exception):
    """Something of a simulated process reaches for the outside."""

    def __init__(self, does: str) -> None:
        super().__init__(f"this {does}, and a simulated world has none; try it with `squall chaos`")


class StandsError(SimulationError):
    """A process does not come to an end with something, so that nothing else happens any more.

    Attributes:
        process: Which.
        frames: Where it stands, in files of somebody's own, outermost first, if that was seen.
    """

    def __init__(self, message: str, process: Process, frames: tuple[Frame, ...] = ()) -> None:
        super().__init__(message)
        self.process = process
        self.frames = frames


class Exited(BaseException):
    """Unwinds the callback in which a process has ended itself."""


class Process:
    """What runs, stands still and dies as one: a node, the broker, the venue.

    Attributes:
        name: Of whom.
        is_dead: Nothing of it runs any more.
        stands_still: Nothing of it runs for now.
        skew_s: How far its clock is off.
        busy_until_s: It does nothing else until then: something in it holds it up.
        leaves: What is closed for it once it is dead, as the operating system does.
    """

    __slots__ = ("busy_until_s", "is_dead", "leaves", "name", "parked", "skew_s", "stands_still", "tasks")

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_dead = False
        self.stands_still = False
        self.skew_s = 0.0
        self.busy_until_s = 0.0
        self.leaves: list[Callable[[], object]] = []
        self.parked: list[Handle] = []
        # Kept, so that nothing of a dead process is collected, which would close its coroutines: their
        # ``finally`` would run, at a moment that depends on the collector.
        self.tasks: list[asyncio.Task[Any]] = []

    def context(self) -> Context:
        """A context in which what is made belongs to this process."""
        context = copy_context()
        context.run(_process.set, self)
        return context


WORLD = Process("world")
"""What is no simulated process: whoever runs the experiment."""

_process: ContextVar[Process] = ContextVar("process", default=WORLD)


def current() -> Process:
    """The process that runs now."""
    return _process.get()


class Handle(msgspec.Struct, eq=False):
    """A callback that waits for its turn, or for its time. One is made for each, so it is made in C."""

    when_s: float
    callback: Callable[..., object] | None
    args: tuple[Any, ...]
    context: Context
    is_cancelled: bool = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self.callback = None
        self.args = ()

    def cancelled(self) -> bool:
        return self.is_cancelled

    def when(self) -> float:
        return self.when_s


class _Task(asyncio.Task[T]):
    """Hashes by its number, so that a set of tasks has the same order wherever it is made."""

    def __init__(self, coroutine: Coroutine[Any, Any, T], number: int, **more: Any) -> None:
        self._number = number
        super().__init__(coroutine, **more)
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(_Loop):  # type: ignore[misc]
    """Runs callbacks in the order in which they became ready, and knows no time but its own.

    Attributes:
        now_s: What `time` tells.
        turns: Callbacks that were run so far.
        failures: What was raised by a callback, or by a task that nobody waits for, in words and in order.
        stands: Set while a callback runs that does not end; no more is run after it.
        threads: What runs beside the loop, whichever executor is named.
    """

    def __init__(self) -> None:
        self.now_s = 0.0
        self._ready: deque[Handle] = deque()
        self._timers: list[tuple[float, int, Handle]] = []
        self._timed = 0
        self._made = 0
        self._spins = 0
        self._spinning = 0
        self._ran = WORLD
        self._is_running = False
        self._is_closed = False
        self.turns = 0
        self.failures: list[str] = []
        self.stands: StandsError | None = None
        self.threads: Executor | None = None
        # Asked for several times a turn, so it is no function of Python.
        self.create_future: Callable[[], asyncio.Future[Any]] = functools.partial(asyncio.Future, loop=self)

    # What asyncio asks of a loop.

    def time(self) -> float:
        return self.now_s

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(self.now_s, callback, args, copy_context() if context is None else context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        when_s = self.now_s + delay
        handle = Handle(when_s, callback, args, copy_context() if context is None else context)
        self._timed += 1
        heappush(self._timers, (when_s, self._timed, handle))
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        handle = Handle(when, callback, args, copy_context() if context is None else context)
        self._timed += 1
        heappush(self._timers, (when, self._timed, handle))
        return handle

    def create_task(
        self, coro: Coroutine[Any, Any, T], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[T]:
        self._made += 1
        task = _Task(coro, self._made, loop=self, name=name, context=context)
        process = _process.get() if context is None else context.get(_process, WORLD)
        process.tasks.append(task)
        return task

    def run_in_executor(
        self, executor: Executor | None, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        """Run it at once; it takes as long as it sleeps, if there are threads that know of it."""
        if self.threads is not None:
            return asyncio.wrap_future(self.threads.submit(func, *args), loop=self)
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self._fail(str(context.get("message", "")), error)

    def _fail(self, what: str, error: BaseException | None) -> None:
        trace = "" if error is None else "".join(traceback.format_exception(error))
        self.failures.append(f"{what}\n{trace}".rstrip())

    get_debug = bool  # False; asked of the loop for each future, so it is no function of Python

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True
        self._ready.clear()
        self._timers.clear()

    async def shutdown_asyncgens(self) -> None:
        """Generators are closed by who made them, or die with their process."""

    # Running it.

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run what is no simulated process to its end, and all processes meanwhile.

        Raises:
            SimulationError: Nothing will ever happen again, or too much happens.
        """
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        self._is_running = True
        try:
            task = self.create_task(main)
            while not task.done():
                self._turn()
            return task.result()
        finally:
            self._is_running = False
            asyncio._set_running_loop(before)

    def go_on(self, process: Process) -> None:
        """Have a process that stands still go on where it was."""
        process.stands_still = False
        self._ready.extend(process.parked)
        process.parked.clear()

    def _turn(self) -> None:
        """Run all that is ready at this instant; if nothing is, let time pass until the next timer."""
        self._spins += 1
        if self._spins > SPINS_MAX:
            self.now_s += SPIN_S
            self._spins = 0
            self._spinning += 1
            if self._spinning > SPINNING_MAX:
                raise StandsError(f"{self._ran.name} goes round without an end", self._ran)
        ready, timers = self._ready, self._timers
        if not ready:
            self._jump()
        now_s = self.now_s
        while timers and timers[0][0] <= now_s:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle.is_cancelled:
                continue
            context = handle.context
            process = context.get(_process, WORLD)
            if process.is_dead or process.stands_still:
                process.parked.append(handle)
                continue
            if process.busy_until_s > now_s:
                self._timed += 1
                heappush(timers, (process.busy_until_s, self._timed, handle))
                continue
            self.turns += 1
            self._ran = process
            try:
                context.run(handle.callback, *handle.args)  # type: ignore[arg-type]
            except (SimulationError, Unmodelled):
                raise
            except Exited:
                process.parked.append(handle)
            except Exception as error:
                self._fail(f"a callback of {process.name} raised", error)
            if self.stands is not None:
                raise self.stands
        if self.turns > TURNS_MAX:
            raise SimulationError(f"{TURNS_MAX:,} callbacks have run, and there is no end")

    def _jump(self) -> None:
        """Let time pass until the next timer."""
        timers = self._timers
        while timers and timers[0][2].is_cancelled:
            heappop(timers)
        if not timers:
            raise SimulationError("nothing will ever happen again")
        if timers[0][0] > self.now_s:
            self.now_s = timers[0][0]
            self._spins = self._spinning = 0
