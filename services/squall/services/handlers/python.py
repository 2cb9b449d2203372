"""Handlers that are Python functions, plain or async.

An async function runs on the agent's own loop. A plain one runs in a thread, so
it may block for as long as its time-out allows while the agent keeps its lease.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from squall.bus.messages import RunTask
from squall.bus.work_queue import Done, Failed, Run
from squall.services.errors import SpecError
from squall.services.handlers import PoisonError, Result, Task

Handler = Callable[[Task], Any]


def load(name: str) -> Handler:
    """The function behind ``package.module:function`` or ``path/to/file.py:function``.

    Raises:
        SpecError: It cannot be imported, or is no function of one argument.
    """
    module_name, _, function_name = name.rpartition(":")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = _module(module_name)
    except Exception as error:  # whatever a user's module does while it is imported
        raise SpecError(
            f"the handler {name} cannot be imported: {type(error).__name__}: {error}",
            "check the name, and that its folder is the current one or installed",
        ) from error
    handler = getattr(module, function_name, None)
    if handler is None:
        raise SpecError(f"{module_name} has no {function_name!r}", "check the name behind the colon")
    if not callable(handler):
        raise SpecError(f"the handler {name} is not a function")
    try:
        inspect.signature(handler).bind(None)
    except TypeError as error:
        raise SpecError(f"the handler {name} does not take one argument, the task") from error
    except ValueError:
        pass  # some built-in callables have no signature; calling them will tell
    loaded: Handler = handler
    return loaded


def _module(name: str) -> ModuleType:
    """A module by its name, or by the file that holds it."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    spec = importlib.util.spec_from_file_location(Path(name).stem, name)
    if spec is None or spec.loader is None:
        raise ImportError(f"{name} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(spec.name, module)
    spec.loader.exec_module(module)
    return module


def effects_of(returned: Any) -> Done:
    """What a handler's return value means.

    Raises:
        TypeError, ValueError: It holds something that cannot be encoded as JSON.
    """
    value = b""
    if isinstance(returned, Result):
        intended: tuple[Any, ...] = returned.effects
        value = returned.value
    elif returned is None:
        intended = ()
    elif isinstance(returned, list | tuple):
        intended = tuple(returned)
    else:
        intended = (returned,)
    return Done(tuple(msgspec.json.encode(effect) for effect in intended), value)


class PythonHandler:
    """Makes attempts with a Python function.

    Args:
        handler: The function.
        timeout_s: How long one attempt may take.
        slots: Threads for a plain function.
        stuck: Called when a plain function outlived its time-out: its thread cannot be ended, so the
            process should be.
    """

    def __init__(self, handler: Handler, *, timeout_s: float, slots: int, stuck: Callable[[], None]) -> None:
        self._handler = handler
        self._timeout_s = timeout_s
        self._stuck = stuck
        called = handler if inspect.isroutine(handler) else type(handler).__call__
        self._threads = (
            None
            if inspect.iscoroutinefunction(called)
            else ThreadPoolExecutor(slots, thread_name_prefix="handler")
        )

    async def run(self, task: RunTask, attempt: int) -> Done | Failed:
        """One attempt; whatever the handler does ends as an outcome."""
        given = Task(
            id=task.task,
            key=task.key,
            job=task.job,
            number=task.number,
            attempt=attempt,
            deadline_s=task.deadline_s,
            body=task.body,
        )
        limit = asyncio.timeout(self._timeout_s)
        try:
            async with limit:
                returned = await self._call(given)
        except PoisonError as error:
            return Failed(f"the handler gave it up: {error}", final=True)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # a handler may raise anything, SystemExit included
            if limit.expired():
                if self._threads is not None:
                    self._stuck()
                return Failed(f"the handler did not return within {self._timeout_s:g} s")
            return Failed(f"the handler raised {type(error).__name__}: {error}")
        try:
            return effects_of(returned)
        except (TypeError, ValueError, OverflowError) as error:
            return Failed(f"the handler returned what cannot be sent: {error}", final=True)

    def _call(self, given: Task) -> Awaitable[Any]:
        if self._threads is None:
            awaitable: Awaitable[Any] = self._handler(given)
            return awaitable
        return asyncio.get_running_loop().run_in_executor(self._threads, self._contained, given)

    def _contained(self, given: Task) -> Any:
        try:
            return self._handler(given)
        except StopIteration as error:  # a future cannot carry it
            raise RuntimeError("the handler raised StopIteration") from error


def runner(name: str, *, timeout_s: float, slots: int, stuck: Callable[[], None]) -> Run:
    """Load a handler by its name and return what makes its attempts.

    Raises:
        SpecError: It cannot be loaded.
    """
    return PythonHandler(load(name), timeout_s=timeout_s, slots=slots, stuck=stuck).run
