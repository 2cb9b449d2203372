"""Task groups whose error is the error itself, and waiting with an end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Tasks:
    """Tasks that live as long as a block. Made by `task_group`."""

    def __init__(self, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._daemons: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run this beside the block, which waits for it at its end."""
        return self._group.create_task(work)

    def daemon(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run this beside the block, which cancels it at its end."""
        task = self._group.create_task(work)
        self._daemons.add(task)
        task.add_done_callback(self._daemons.discard)
        return task

    def cancel_daemons(self) -> None:
        for task in list(self._daemons):
            task.cancel()


@contextlib.asynccontextmanager
async def task_group() -> AsyncIterator[Tasks]:
    """An `asyncio.TaskGroup` that raises a lone error bare, so that callers can catch it by its type."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = Tasks(group)
            try:
                yield tasks
            finally:
                tasks.cancel_daemons()
    except BaseExceptionGroup as error:
        lone: BaseException = error
        while isinstance(lone, BaseExceptionGroup) and len(lone.exceptions) == 1:
            lone = lone.exceptions[0]
        raise lone from lone.__cause__


async def look_again(event: asyncio.Event, within_s: float) -> None:
    """Wait until an event is set that means *look again*; it is set here when that much time has passed.

    A time-out would do the same by cancelling the task that waits, which takes several times as long.
    """
    again = asyncio.get_running_loop().call_later(within_s, event.set)
    try:
        await event.wait()
    finally:
        again.cancel()


async def wait_until(
    look: Callable[[], Awaitable[T]],
    good: Callable[[T], object],
    *,
    timeout_s: float,
    what: str,
    every_s: float = 0.05,
) -> T:
    """Look again and again until what is seen is good.

    Args:
        look: Returns what there is to see.
        good: Truthy when that is what was waited for.
        timeout_s: When to give up.
        what: What is waited for, for the error.
        every_s: Pause between two looks.

    Raises:
        TimeoutError: It was not seen in time; the message says what was seen last.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        seen = await look()
        if good(seen):
            return seen
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}; last seen: {seen!r}")
        await asyncio.sleep(every_s)
