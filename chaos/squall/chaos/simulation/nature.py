"""Time, chance and the operating system, as a simulated world has them, for as long as it runs.

time, datetime ───────────► the loop's clock, off by what the process's clock is off
time.sleep ───────────────► its process does nothing else meanwhile; in a thread, the thread ends later
random, secrets, urandom ─► drawn from the seed
os._exit ─────────────────► the end of the process that asks for it
sockets, threads, programs ► refused; see `outside.py`
"""

from __future__ import annotations

import contextlib
import datetime
import gc
import logging
import os
import random
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from squall.chaos.simulation.loop import WORLD, Exited, Process, VirtualLoop, current
from squall.chaos.simulation.outside import refusals

EPOCH_S = 1_800_000_000.0
"""When every world begins, in seconds since the epoch."""


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
    """

    def __init__(self, loop: VirtualLoop, seed: int, exited: Callable[[Process, int], None]) -> None:
        self._loop = loop
        self._seed = seed
        self._exited = exited

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

        def token_hex(nbytes: int | None = None) -> str:
            count = 32 if nbytes is None else nbytes
            return f"{tokens.getrandbits(8 * count):0{2 * count}x}"

        def slept(seconds: float) -> None:
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
                for owner, name, value in (
                    (time, "time", time_s),
                    (time, "monotonic", self._loop.time),
                    (time, "perf_counter", self._loop.time),
                    (time, "time_ns", lambda: int(time_s() * 1e9)),
                    (time, "monotonic_ns", lambda: int(self._loop.time() * 1e9)),
                    (time, "perf_counter_ns", lambda: int(self._loop.time() * 1e9)),
                    (time, "sleep", slept),
                    (datetime, "datetime", _dated(time_s)),
                    (secrets, "token_hex", token_hex),
                    (secrets, "token_urlsafe", token_hex),
                    (os, "urandom", tokens.randbytes),
                    (random, "_urandom", tokens.randbytes),
                    (os, "_exit", ended),
                    *refusals(),
                ):
                    stack.enter_context(_set(owner, name, value))
                with _quiet():
                    yield
        finally:
            random.setstate(state)
            if was_collected:
                gc.enable()


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
    """What nodes log, of which all would go to one place, is not written."""
    log = logging.getLogger("squall")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(level)
