"""Port: what every kind of handler is to the agent that gives it tasks.

    Handling ─► kind ─► Loaded ─► open(Host) ─► Port ──run──► Done, Failed or NotThere
     (spec)   (kinds.py)  found, and nothing      └──► health, close
                          is running yet

A kind is one file, and one line of `kinds.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from squall.bus.connection import Connection
from squall.bus.ended import Ended
from squall.bus.messages import RunTask
from squall.services.handlers import Voter
from squall.services.handlers.mistakes import Frame, IsOwn

Form = Literal["json", "text"]
"""What an answer is: one JSON object as in `answers.py`, or any text, which is the value of a result."""


@dataclass(frozen=True, kw_only=True)
class Handling:
    """A handler as a spec names it.

    Attributes:
        name: As ``--handler`` takes it.
        parameters: What it is given beside the task.
        environment: Names of variables that its program has.
        headers: By header, the name of the variable that holds its value.
        server: The URL of the broker where it is reached.
        credentials: The name of the variable that holds the path of a credentials file for that broker.
        guest: What it is called on the swarm's own broker, where it is a guest; empty if it is elsewhere.
        answer: What it answers with, where that is bytes.
    """

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    environment: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    server: str = ""
    credentials: str = ""
    guest: str = ""
    answer: Form = "json"


class Running(Protocol):
    """Told of an attempt that is not over: where its handler stands, if that is known, and since when."""

    def __call__(self, task: str, attempt: int, frame: Frame | None, took_s: float) -> None: ...


RUNNING_S = 5.0
"""After how long an attempt that is not over is told of; then after twice that, and so on."""


@contextlib.contextmanager
def told_of(running: Running, task: str, attempt: int) -> Iterator[None]:
    """Tell, ever less often, of an attempt that lasts as long as the block."""
    loop = asyncio.get_running_loop()
    timers: list[asyncio.TimerHandle] = []

    def tell(took_s: float) -> None:
        running(task, attempt, None, took_s)
        timers[:] = [loop.call_later(took_s, tell, 2 * took_s)]

    timers.append(loop.call_later(RUNNING_S, tell, RUNNING_S))
    try:
        yield
    finally:
        timers[-1].cancel()


def not_told(task: str, attempt: int, frame: Frame | None, took_s: float) -> None:
    """Nobody asks for where a handler stands."""


@dataclass(frozen=True, kw_only=True)
class Host:
    """What an agent has for the handler that it opens.

    Attributes:
        timeout_s: How long one attempt may take.
        slots: Attempts at a time, at most.
        threads: Makes an executor of so many threads.
        stuck: Called when a handler outlived its time-out and cannot be ended but with this process.
        running: Told of attempts that take long.
        connection: The agent's own, to the swarm's broker; None where a handler is only tried.
    """

    timeout_s: float
    slots: int
    threads: Callable[[int], Executor]
    stuck: Callable[[], None]
    running: Running = not_told
    connection: Connection | None = None


class Port(Protocol):
    """A handler that was opened."""

    @property
    def health(self) -> str:
        """What is wrong with it now, in one sentence; empty if nothing is known to be."""
        ...

    async def run(self, task: RunTask, attempt: int) -> Ended:
        """Make one attempt. Whatever the handler does is an outcome; raises when cancelled, and only then."""
        ...

    async def close(self) -> None:
        """End what it has running. Nothing is run after that."""
        ...


def nobodys_file(file: str) -> bool:
    """A handler that is no Python has no files whose lines could be told."""
    return False


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A handler that was found, and can be opened.

    Attributes:
        open: Opens it.
        begins: Where its function begins, which is told of mistakes that raise nothing; None if it has none.
        is_own: Which files are its own.
        vote: Says how votes are cast where peers vote: by a function that stands beside it, or, if it gives
            None, by what the handler itself would have done.
    """

    open: Callable[[Host], Port]
    begins: Frame | None = None
    is_own: IsOwn = nobodys_file
    vote: Callable[[], Voter | None] = lambda: None
