"""Time, chance and the operating system, as a simulated world has them, for as long as it runs.

time, datetime, os.times ─► the loop's clock, off by what the process's clock is off
time.sleep ───────────────► its process does nothing else meanwhile; in a thread, the thread ends later
random, secrets, uuid ────► drawn from the seed
os._exit, os.abort ───────► the end of the process that asks for it
stdin, stdout, stderr ────► empty, and nothing
sockets, threads, programs ► refused; see `outside.py`
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import gc
import io
import logging
import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from squall.chaos.simulation.loop import WORLD, Exited, Process, VirtualLoop, current
from squall.chaos.simulation.outside import refusals, watched

EPOCH_S = 1_800_000_000.0
"""When every world begins, in seconds since the epoch."""

NODE = 0x0300_0000_0001
"""The address of the network card of every simulated machine; it belongs to no card."""

ABORTED = 134
"""Exit status of a process that aborts."""


@dataclass
class Thread:
    """What runs at once, and is taken to end later by as much as it has slept."""

    slept_s: float = 0.0


_thread: ContextVar[Thread | None] = ContextVar("thread", default=None)


class Threads(Executor):
    """Threads of a simulated process: each runs at once, and takes as long as it sleeps."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        thread, done = Thread(), Future[Any]()
        token = _thread.set(thread)
        try:
            result, error = fn(*args, **kwargs), None
        except Exception as raised:
            result, error = None, raised
        finally:
            _thread.reset(token)

        def end() -> None:
            if error is None:
                done.set_result(result)
            else:
                done.set_exception(error)

        if thread.slept_s:
            self._loop.call_later(thread.slept_s, end)
        else:
            end()
        return done


class Nature:
    """What a world has in place of the real one, inside `holding`.

    Args:
        exited: Told of a process that ends itself, and its status.

    Attributes:
        asked: What processes have asked of the outside, a sentence each.
    """

    def __init__(self, loop: VirtualLoop, seed: int, exited: Callable[[Process, int], None]) -> None:
        self._loop = loop
        self._seed = seed
        self._exited = exited
        self.asked: list[str] = []
        loop.threads = Threads(loop)

    def true_time_s(self) -> float:
        """The time, in seconds since the epoch, whatever a process's clock says."""
        return EPOCH_S + self._loop.time()

    def set_clock(self, offset_s: float) -> float:
        """Have the clock of the present process be off; by how much it is, as it is read then."""
        current().skew_s = offset_s
        return time.time() - self.true_time_s()

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Inside the block the world's time and chance are everybody's."""
        tokens = random.Random(f"{self._seed}/tokens")
        exit_process = os._exit

        def time_s() -> float:
            return EPOCH_S + self._loop.time() + current().skew_s

        def slept(seconds: float) -> None:
            if seconds < 0:
                raise ValueError("sleep length must be non-negative")
            thread = _thread.get()
            if thread is not None:
                thread.slept_s += seconds
            else:
                current().busy_until_s = self._loop.time() + seconds

        def ended(status: int) -> None:
            process = current()
            if process is WORLD:
                exit_process(status)
            self._exited(process, status)
            raise Exited

        state, was_collected = random.getstate(), gc.isenabled()
        random.seed(f"{self._seed}/nodes")
        gc.disable()  # when it collects depends on what else this process has done
        try:
            with contextlib.ExitStack() as stack:
                self.asked = stack.enter_context(watched())
                for owner, name, value in (
                    *_clocks(time_s, self._loop.time),
                    *_chance(tokens),
                    (time, "sleep", slept),
                    (os, "_exit", ended),
                    (os, "abort", lambda: ended(ABORTED)),
                    (sys, "stdin", io.StringIO()),
                    (sys, "stdout", _OfTheWorld(sys.stdout)),
                    (sys, "stderr", _OfTheWorld(sys.stderr)),
                    *refusals(),
                ):
                    stack.enter_context(_set(owner, name, value))
                with _quiet():
                    yield
        finally:
            random.setstate(state)
            if was_collected:
                gc.enable()


_Replaced = tuple[Any, str, object]
"""An owner, a name, and what it is in a world."""


def _clocks(time_s: Callable[[], float], monotonic_s: Callable[[], float]) -> Sequence[_Replaced]:
    """All clocks that Python's own library reads."""

    def read_s(clock: int) -> float:
        return time_s() if clock == time.CLOCK_REALTIME else monotonic_s()

    def times() -> os.times_result:
        return os.times_result((monotonic_s(), 0.0, 0.0, 0.0, monotonic_s()))

    def ns(clock: Callable[..., float]) -> Callable[..., int]:
        return lambda *which: int(clock(*which) * 1e9)

    since_epoch = (
        (time, name, _at(getattr(time, name), time_s)) for name in ("localtime", "gmtime", "ctime")
    )
    strftime, asctime = time.strftime, time.asctime
    passed = ("monotonic", "perf_counter", "process_time", "thread_time")
    return (
        (time, "time", time_s),
        (time, "time_ns", ns(time_s)),
        *((time, name, monotonic_s) for name in passed),
        *((time, f"{name}_ns", ns(monotonic_s)) for name in passed),
        (time, "clock_gettime", read_s),
        (time, "clock_gettime_ns", ns(read_s)),
        *since_epoch,
        (time, "strftime", lambda text, at=None: strftime(text, at or time.localtime())),
        (time, "asctime", lambda at=None: asctime(at or time.localtime())),
        (os, "times", times),
        (datetime, "datetime", _dated(time_s)),
    )


def _at(told: Callable[[float], object], time_s: Callable[[], float]) -> Callable[..., object]:
    """A function of seconds since the epoch; without any, of a world's."""
    return lambda seconds=None: told(time_s() if seconds is None else seconds)


def _chance(tokens: random.Random) -> Sequence[_Replaced]:
    """All numbers that Python's own library draws from the system, drawn from a world's."""

    def token_hex(nbytes: int | None = None) -> str:
        count = 32 if nbytes is None else nbytes
        return f"{tokens.getrandbits(8 * count):0{2 * count}x}"

    seed_with = random.Random.seed

    def seed(self: random.Random, a: Any = None, version: int = 2) -> None:
        seed_with(self, tokens.getrandbits(64) if a is None else a, version)

    shared = getattr(random, "_inst")  # noqa: B009, no name that type checkers know
    return (
        (secrets, "token_hex", token_hex),
        (secrets, "token_urlsafe", token_hex),
        (os, "urandom", tokens.randbytes),
        (os, "getrandom", lambda size, flags=0: tokens.randbytes(size)),
        (random, "_urandom", tokens.randbytes),
        (random.Random, "seed", seed),
        (random, "seed", functools.partial(seed, shared)),
        # The parts of the first kind of identifiers: time, numbers above, and no machine's address.
        (uuid, "_generate_time_safe", None),
        (uuid, "_last_timestamp", None),
        (uuid, "getnode", lambda: NODE),
    )


class _OfTheWorld:
    """A stream to which simulated processes write nothing."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def write(self, text: str) -> int:
        if current() is WORLD:
            self._real.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def _dated(time_s: Callable[[], float]) -> type[datetime.datetime]:
    """Dates of a world's clock."""

    class Dated(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Dated:
            return cls.fromtimestamp(time_s(), tz)

        @classmethod
        def utcnow(cls) -> Dated:
            return cls.fromtimestamp(time_s(), datetime.UTC).replace(tzinfo=None)

        @classmethod
        def today(cls) -> Dated:
            return cls.now()

    return Dated


@contextlib.contextmanager
def _set(owner: Any, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What nodes and their handlers log, of which all would go to one place, is not written."""
    log = logging.getLogger("squall")
    level = log.level
    handle = logging.Logger.callHandlers

    def told(logger: logging.Logger, record: logging.LogRecord) -> None:
        if current() is WORLD:
            handle(logger, record)

    log.setLevel(logging.CRITICAL)
    try:
        with _set(logging.Logger, "callHandlers", told):
            yield
    finally:
        log.setLevel(level)
