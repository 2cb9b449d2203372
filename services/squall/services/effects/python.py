"""``package.module:function``: a function of one's own that carries effects out.

    def send(effect, key)         in a thread: it may block, and is waited for
    async def send(effect, key)   on the gateway's loop, for as long as any other sink

What it may raise is in this package's own file. Whatever else it raises, it is called again with the same
key.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

from squall.bus.border import printable
from squall.services.effects import DoneBeforeError, LaterError, RefusedError
from squall.services.effects.each import Each, OneByOne
from squall.services.effects.port import Make, Opener, Sending, Way
from squall.services.errors import SpecError
from squall.services.handlers import loading
from squall.services.handlers.mistakes import frames_of, own_files
from squall.services.handlers.outcome import describe
from squall.services.rules.effects import value_of
from squall.services.rules.sinks import (
    SEND_TIMEOUT_S,
    WAIT_S_MAX,
    Carried,
    Outcome,
    Refused,
    Unknown,
    Wait,
)


def load(sending: Sending, origin: Any) -> Opener:
    """The function that a name means.

    Raises:
        SpecError: It cannot be imported, or not be called with an effect and a key.
    """
    function = loading.found(sending.name, origin, "function for effects")
    if not callable(function):
        raise SpecError(f"effects = {sending.name!r} is not a function", "name one: mine:send")
    try:
        inspect.signature(function).bind(None, "")
    except TypeError as error:
        raise SpecError(
            f"effects = {sending.name!r} does not take two arguments, the effect and its key",
            "write it as def send(effect, key)",
        ) from error
    except ValueError:
        pass  # some built-in callables have no signature; calling them will tell

    @contextlib.asynccontextmanager
    async def opened(way: Way) -> AsyncIterator[Make]:
        threads = ThreadPoolExecutor(sending.together, thread_name_prefix="effects")
        try:
            yield lambda ties: Each(OneByOne(Function(function, threads)), ties, together=sending.together)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    return opened


class Function:
    """A function that carries effects out."""

    def __init__(self, function: Callable[..., Any], threads: Executor) -> None:
        self._function = function
        self._threads = threads
        called = function if inspect.isroutine(function) else type(function).__call__
        self._is_async = inspect.iscoroutinefunction(called)
        self._is_own = own_files(function)

    async def send(self, key: str, body: bytes) -> Outcome:
        """See `Sink`."""
        try:
            effect = value_of(body)
        except ValueError as error:
            return Refused(printable(f"no value of Python's can be made of it: {error}"))
        try:
            if self._is_async:
                async with asyncio.timeout(SEND_TIMEOUT_S):
                    await self._function(effect, key)
            else:
                # Nobody can end a thread, and two with one key at a time would be two effects.
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._threads, self._function, effect, key)
        except DoneBeforeError:
            return Carried(before=True)
        except RefusedError as error:
            return Refused(printable(str(error)) or "it does not say why")
        except LaterError as error:
            after_s = error.after_s if 0.0 <= error.after_s <= WAIT_S_MAX else WAIT_S_MAX
            return Wait(after_s, printable(str(error)))
        except TimeoutError:
            return Unknown(f"it did not return within {SEND_TIMEOUT_S:g} s")
        except Exception as error:  # the function's own code ran, and may raise anything
            frames = frames_of(error, self._is_own)
            return Unknown(printable(f"it raised {describe(error)}{f', at {frames[-1]}' if frames else ''}"))
        return Carried()
