"""How an attempt at a task ends, and who makes one and is told of it.

Done       it succeeded, and this is what it intends
Failed     it did not; another may, or none can
NotThere   it was not made: there was nobody to make it
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, Literal, Protocol, TypeVar

import msgspec

from squall.bus.messages import RunTask

T = TypeVar("T")


class Done(msgspec.Struct, frozen=True):
    """An attempt that succeeded.

    Attributes:
        again: Its task is to go round a closed row of stages once more; then it has no effects.
    """

    effects: tuple[bytes, ...] = ()
    value: bytes = b""
    again: bool = False


class Failed(msgspec.Struct, frozen=True):
    """An attempt that did not.

    Attributes:
        reason: In one sentence.
        final: True when another attempt would fail alike: the task is dead now.
        after_s: The next attempt is to be made no sooner than this, whatever the pacing says.
        excused: It says nothing of the task, which has as many attempts as before.
    """

    reason: str
    final: bool = False
    after_s: float = 0.0
    excused: bool = False


class NotThere(msgspec.Struct, frozen=True):
    """No attempt was made, for there was nobody to make it. Definite: nothing has happened.

    The task is given back and has as many attempts as before; see `absence.py` for what its worker does.

    Attributes:
        reason: In one sentence.
        after_s: The worker is to pull nothing for so long at least.
    """

    reason: str
    after_s: float = 0.0


Ended = Done | Failed | NotThere
"""What an attempt may come to."""


class Run(Protocol):
    """Makes one attempt of a task. What a handler raises is an outcome, so an error of this is a defect of
    ours: it ends the worker, and whoever takes the task over counts the attempt."""

    def __call__(self, task: RunTask, attempt: int, /) -> Awaitable[Ended]: ...


class Observer(Protocol):
    """Told of what happened, as a line of a history: an operation, its type and its facts."""

    def __call__(
        self, op: str, kind: Literal["invoke", "ok", "fail", "unknown"], /, **facts: Any
    ) -> None: ...


def told_of(task: RunTask, attempt: int = 0) -> dict[str, Any]:
    """What each line of an attempt says: whose it is, which, and in which lap, if there are any."""
    facts: dict[str, Any] = {"task": task.task}
    if attempt:
        facts["attempt"] = attempt
    return {**facts, "lap": task.lap} if task.lap else facts


class Asked(Protocol):
    """Told that something is being asked for; awaits it, and returns what it returns."""

    def __call__(self, step: str, asking: Coroutine[Any, Any, T], /) -> Awaitable[T]: ...


async def straight(step: str, asking: Coroutine[Any, Any, T], /) -> T:
    """Nobody needs to be told."""
    return await asking


WORKERS_DIED = "no result: its workers died or hung"
"""Why a task is dead that nobody lived to end; who judges a run knows such a task by it."""
