"""Runs a test with its swarm, and says what it fails by.

started, steady ─► the test ─► finished, judged ─► faults forgotten? handler? checks? ─► passed
     │                └── its own error, and where the run is             │
     └── one sentence of ours, and where the run is ◄─────────────────────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import pytest

from squall.bus.border import printable
from squall.bus.errors import SquallError, first_error
from squall.chaos.testing.failures import Whereabouts, complaints, in_one, struck_nothing
from squall.chaos.testing.swarm import SwarmUnderTest
from squall.services.printing import SENTENCE_LENGTH_MAX
from squall.services.run.result import Result
from squall.services.run.spec import is_own

Test = Callable[[], Awaitable[object]]
T = TypeVar("T")

OF_PYTEST = (pytest.fail.Exception, pytest.skip.Exception, pytest.exit.Exception)
"""What pytest and its plugins raise to end a test, wherever it is just then; none of it is an `Exception`."""


def conduct(test: Test, under_test: SwarmUnderTest, whereabouts: Whereabouts) -> None:
    """Run a test and its swarm; raise what the test fails by."""
    __tracebackhide__ = True
    own: list[BaseException] = []
    error: BaseException | None = None
    said: list[str] = []
    try:
        result = in_own_loop(_conducted(test, under_test, own))
    except BaseException as raised:
        error = _first(raised, own)
    else:
        said = under_test.faults.forgotten()
        said += [*complaints(result, under_test.excused), *struck_nothing(under_test.history())]
    if isinstance(error, SquallError) and error not in own:
        said = [in_one(error.sentence, error.remedy)]
    elif isinstance(error, pytest.fail.Exception) and error not in own:
        said = [str(error)]
    elif error is not None:
        _note(error, [*under_test.faults.forgotten(), *_blamed(under_test), *_lines(under_test, whereabouts)])
        raise error
    if said:
        sentences = [printable(line, SENTENCE_LENGTH_MAX) for line in said]
        pytest.fail("\n".join([*sentences, *_lines(under_test, whereabouts)]), pytrace=False)


async def _conducted(test: Test, under_test: SwarmUnderTest, own: list[BaseException]) -> Result:
    async with under_test.running():
        try:
            await test()
        except BaseException as error:
            own.append(error)
            raise
    return await under_test.finish()


def in_own_loop(work: Coroutine[Any, Any, T]) -> T:
    """Run something to its end in an event loop of its own, and leave everybody else's as it is.

    A time-out arrives as an exception in the middle of whatever runs just then. In a callback of the loop it
    would end nothing, so it is taken from there.
    """
    lost: list[BaseException] = []

    async def heeding() -> T:
        this = asyncio.current_task()
        assert this is not None

        def heed(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            error = context.get("exception")
            if isinstance(error, OF_PYTEST):
                lost.append(error)
                this.cancel()
            else:
                loop.default_exception_handler(context)

        asyncio.get_running_loop().set_exception_handler(heed)
        return await work

    try:
        # With a factory, a runner sets no loop as the thread's, where another plugin may have one.
        with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
            return runner.run(heeding())
    except asyncio.CancelledError:
        if lost:
            raise lost[0] from None
        raise


def _first(raised: BaseException, own: list[BaseException]) -> BaseException:
    """What a test failed by, of what was raised when it and its swarm ended."""
    if own and not isinstance(own[0], asyncio.CancelledError):
        return own[0]
    kinds: tuple[type[BaseException], ...] = (*OF_PYTEST, SquallError)
    found = (first_error(raised, kind) for kind in kinds)
    return next((error for error in found if isinstance(error, kinds)), first_error(raised))


def _blamed(under_test: SwarmUnderTest) -> list[str]:
    """What its handler did wrong, if a task came to nothing by it, or all of them had to wait for it."""
    handled, name = under_test.handled(), under_test.spec.handler
    if handled.spoiled:
        return [handled.sentence(name)]
    return [said] if is_own(name) and (said := handled.blocking(name)) else []


def _lines(under_test: SwarmUnderTest, whereabouts: Whereabouts) -> list[str]:
    """Where its run can be looked at, if there is one."""
    if not under_test.has_begun:
        return []
    handled = under_test.handled()
    given = handled.good | handled.dead | handled.mistaken | handled.running.keys()
    return whereabouts.lines(min(handled.spoiled or given, default=""))


def _note(error: BaseException, lines: list[str]) -> None:
    """Have what a test failed by tell more; what ends it otherwise, as a skip does, tells enough."""
    if isinstance(error, pytest.fail.Exception) and not error.pytrace:
        error.msg = "\n".join([str(error.msg), *lines])
    elif isinstance(error, Exception | pytest.fail.Exception):
        for line in lines:
            error.add_note(line)
