"""Handlers that are Python functions, plain or async: making one attempt with them.

    plain ──► a thread ──┐
    async ──► the loop ──┴─► awaited, if it is awaitable ──► outcome ──► Done, Failed
                 │
                 └── over its time ──► cancelled ──► still there ──► stuck

A plain function may block for as long as its time-out allows while the agent keeps its lease. The time-out is
kept by the agent's loop, so a handler that blocks the loop, or never gives the interpreter to another thread,
outlives it here; whoever started the agent ends it then (see `launch/silence.py`).
"""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from squall.bus.ended import Done, Failed
from squall.bus.messages import RunTask
from squall.services.handlers import Handler, Task, loading, mistakes, outcome
from squall.services.handlers.port import RUNNING_S, Handling, Host, Loaded, Running, not_told
from squall.services.node.control import FORKED

CANCEL_GRACE_S = 2.0
"""How long a handler that was cancelled may take to clean up."""


_Call = Future[Done | Failed | Awaitable[object]]


def load(handling: Handling, origin: Any) -> Loaded:
    """The function that a name means, with the parameters that its spec has for it.

    Raises:
        SpecError: It cannot be imported, or not be called so.
    """
    handler = loading.load(handling.name, origin, handling.parameters)
    return replace(loaded(handler), vote=lambda: loading.vote_of(handling.name, handler))


def loaded(handler: Handler) -> Loaded:
    """A function, ready to be opened."""

    def opened(host: Host) -> PythonHandler:
        return PythonHandler(
            handler,
            timeout_s=host.timeout_s,
            slots=host.slots,
            threads=host.threads,
            stuck=host.stuck,
            running=host.running,
        )

    return Loaded(open=opened, begins=mistakes.begins(handler), is_own=mistakes.own_files(handler))


class PythonHandler:
    """Makes attempts with a Python function.

    Args:
        handler: The function.
        timeout_s: How long one attempt may take.
        slots: Threads for a plain function.
        threads: Makes an executor of so many threads.
        stuck: Called when a handler outlived its time-out and can not be ended, a thread or a coroutine that
            swallows its cancellation: the process should be.
        running: Told of attempts that take long.
    """

    def __init__(
        self,
        handler: Callable[..., Any],
        *,
        timeout_s: float,
        slots: int,
        threads: Callable[[int], Executor] = ThreadPoolExecutor,
        stuck: Callable[[], None],
        running: Running = not_told,
    ) -> None:
        self._handler = handler
        self._running = running
        self._timeout_s = timeout_s
        self._stuck = stuck
        self._is_own = mistakes.own_files(handler)
        is_async = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__)
        self._threads = None if is_async else threads(slots)

    health = ""
    """What is wrong shows in each attempt, and is told of it."""

    async def close(self) -> None:
        """Nothing of it runs but in the agent's own process, which ends."""

    async def run(self, task: RunTask, attempt: int, *more: object) -> Done | Failed:
        """One attempt. Whatever the handler does ends as an outcome; raises when cancelled, and only then.

        Args:
            more: What the handler is given beside the task.
        """
        given = Task(
            id=task.task,
            key=task.named or task.key,
            job=task.job,
            number=task.number,
            attempt=attempt,
            deadline_s=task.deadline_s,
            body=task.body,
        )
        call: _Call | None = None
        thread: list[int] = []
        if self._threads is not None:
            try:
                call = self._threads.submit(self._call, given, more, thread)
            except RuntimeError as error:  # the system gives no more threads
                return Failed(f"the handler could not be started: {error}")
        # A task of its own, so that a cancellation is either the handler's or this attempt's.
        work = asyncio.create_task(self._work(given, more, call))
        try:
            async for took_s in self._waiting(work):
                stood = self._stands(work, call, thread)
                self._running(task.task, attempt, stood[-1] if stood else None, took_s)
            if work.done():
                return outcome.cancelled() if work.cancelled() else work.result()
            stood = self._stands(work, call, thread)
        finally:
            if not work.done():
                work.cancel()
                await asyncio.wait({work}, timeout=CANCEL_GRACE_S)
        if not work.done() or (call is not None and not call.done()):
            self._stuck()
        return outcome.late(self._timeout_s, stood)

    async def _waiting(self, work: asyncio.Task[Done | Failed]) -> AsyncIterator[float]:
        """Wait until an attempt is over, or its time is; in between, now and then, how long it takes."""
        begun_s = time.monotonic()
        next_s = RUNNING_S
        while next_s < self._timeout_s:
            await asyncio.wait({work}, timeout=begun_s + next_s - time.monotonic())
            if work.done():
                return
            yield next_s
            next_s *= 2
        await asyncio.wait({work}, timeout=begun_s + self._timeout_s - time.monotonic())

    def _stands(
        self, work: asyncio.Task[Done | Failed], call: _Call | None, thread: list[int]
    ) -> tuple[mistakes.Frame, ...]:
        """Where the handler stands now."""
        if call is not None and not call.done() and thread:
            return mistakes.frames_of_thread(thread[0], self._is_own)
        return mistakes.frames_of_coroutine(work.get_coro(), self._is_own)

    async def _work(self, given: Task, more: tuple[object, ...], call: _Call | None) -> Done | Failed:
        try:
            returned = self._handler(given, *more) if call is None else await asyncio.wrap_future(call)
            if isinstance(returned, Done | Failed):
                return returned
            while inspect.isawaitable(returned):
                returned = await returned
            return outcome.returned(returned)
        except BaseException as error:  # a handler may raise anything, SystemExit included
            return outcome.raised(error, self._is_own)

    def _call(
        self, given: Task, more: tuple[object, ...], thread: list[int]
    ) -> Done | Failed | Awaitable[object]:
        """Call a plain function, in a thread. Not everything that it may raise can pass through a future."""
        process = os.getpid()
        thread.append(threading.get_ident())
        try:
            returned = self._handler(given, *more)
            if inspect.isawaitable(returned):
                return returned
            return outcome.returned(returned)
        except BaseException as error:
            return outcome.raised(error, self._is_own)
        finally:
            if os.getpid() != process:  # the handler forked, and this is the child, which has no loop
                os._exit(FORKED)
