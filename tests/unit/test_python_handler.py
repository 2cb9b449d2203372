"""A handler's attempt: whatever it does ends as one outcome; only a cancellation of the attempt is raised."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import json
import math
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from squall.bus.codec import decode, encode
from squall.bus.ended import Done, Failed
from squall.bus.messages import EFFECTS_MAX, RunTask, TaskResult
from squall.services.handlers import PoisonError, Result, Task, python
from squall.services.handlers.mistakes import Frame, Mistake
from squall.services.handlers.python import PythonHandler
from squall.services.node.control import FORKED
from squall.services.node.history import History

pytestmark = pytest.mark.anyio

TASK = RunTask(task="t-1", key="t", job="j", number=1, body=b"input")


def handler_of(
    function: Any, *, timeout_s: float = 60.0, stuck: Callable[[], None] | None = None
) -> PythonHandler:
    def unexpected() -> None:
        pytest.fail("called stuck")

    return PythonHandler(function, timeout_s=timeout_s, slots=2, stuck=stuck or unexpected)


async def attempt(function: Any) -> Done | Failed:
    return await handler_of(function).run(TASK, 1)


WAITING = threading.Event()


def waits_in_a_thread(task: Task) -> None:
    WAITING.wait(0.5)


async def waits(task: Task) -> None:
    await asyncio.sleep(0.5)


@pytest.mark.parametrize("function", [waits_in_a_thread, waits])
async def test_where_an_attempt_stands_that_takes_long_is_told_ever_less_often(
    function: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(python, "RUNNING_S", 0.05)
    told: list[tuple[str, int, str, float]] = []

    def running(task: str, attempt: int, frame: Frame | None, took_s: float) -> None:
        told.append((task, attempt, frame.function if frame is not None else "", took_s))

    handler = PythonHandler(
        function, timeout_s=60.0, slots=2, stuck=lambda: pytest.fail("called stuck"), running=running
    )
    assert await handler.run(TASK, 3) == Done()
    assert [each[:3] for each in told] == [("t-1", 3, function.__name__)] * len(told)
    assert [each[3] for each in told] == [0.05, 0.1, 0.2, 0.4]


# Calling.


async def decide(task: Task) -> dict[str, Any]:
    return {"n": task.number}


def plainly(task: Task) -> dict[str, Any]:
    return {"n": task.number}


@functools.wraps(decide)
def wrapped(task: Task) -> Any:
    return decide(task)


async def twice(task: Task) -> Any:
    return decide(task)


class Agent:
    async def __call__(self, task: Task) -> dict[str, Any]:
        return {"n": task.number}


@pytest.mark.parametrize(
    "function", [decide, plainly, wrapped, twice, functools.partial(decide), Agent(), Agent().__call__]
)
async def test_whatever_can_be_called_and_awaited_has_its_effects(function: Any) -> None:
    assert await attempt(function) == Done((b'{"n":1}',))


# Raising.


async def cancels_an_inner_task(task: Task) -> None:
    inner = asyncio.ensure_future(asyncio.Event().wait())
    asyncio.get_running_loop().call_soon(inner.cancel)
    await inner


async def cancels_itself(task: Task) -> None:
    this = asyncio.current_task()
    assert this is not None
    this.cancel()


async def cancels_itself_and_waits(task: Task) -> None:
    await cancels_itself(task)
    await asyncio.Event().wait()


def raises_in_a_pool(task: Task) -> None:
    raise concurrent.futures.CancelledError


def raises_stop_iteration(task: Task) -> None:
    raise StopIteration


async def exits(task: Task) -> None:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (cancels_an_inner_task, "the handler raised CancelledError"),
        (cancels_itself, "the handler cancelled itself"),
        (cancels_itself_and_waits, "the handler raised CancelledError"),
        (raises_in_a_pool, "the handler raised CancelledError"),
        (raises_stop_iteration, "the handler raised StopIteration"),
        (exits, "the handler raised SystemExit: 3"),
    ],
)
async def test_a_cancellation_or_an_exit_of_the_handlers_own_fails_its_attempt(
    function: Any, reason: str
) -> None:
    ended = await attempt(function)
    assert isinstance(ended, Mistake)
    assert ended.reason.startswith(reason)
    assert len(ended.trace) == (0 if function is cancels_itself else 1)


async def test_a_cancellation_of_the_attempt_reaches_the_handler_and_the_caller() -> None:
    begun, cleaned = asyncio.Event(), asyncio.Event()

    async def works(task: Task) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    running = asyncio.create_task(attempt(works))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert cleaned.is_set()


# Time-outs.

LATE = f"the handler did not return within 0.05 s; it stood at {Path(__file__).relative_to(Path.cwd())}:"


async def late(handler: PythonHandler) -> str:
    ended = await handler.run(TASK, 1)
    assert isinstance(ended, Mistake)
    assert (ended.kind, ended.final) == ("late", False)
    return ended.reason


async def test_an_async_handler_over_its_time_is_cancelled_and_costs_nothing_else() -> None:
    async def waits(task: Task) -> None:
        await asyncio.Event().wait()

    handler = handler_of(lambda task: waits(task), timeout_s=0.05)
    assert (await late(handler)).startswith(LATE)


async def test_a_coroutine_that_swallows_its_cancellation_is_stuck() -> None:
    told: list[bool] = []
    free = asyncio.Event()

    async def swallows(task: Task) -> None:
        while not free.is_set():
            with suppress(asyncio.CancelledError):
                await free.wait()

    handler = handler_of(swallows, timeout_s=0.05, stuck=lambda: told.append(True))
    assert (await late(handler)).startswith(LATE)
    assert told == [True]
    free.set()


async def test_a_process_that_a_plain_handler_forks_ends_where_it_comes_back(tmp_path: Path) -> None:
    """It has the handler's thread alone, and would stay for as long as the agent does."""

    def forks(task: Task) -> None:
        child = os.fork()
        if child:
            (tmp_path / "status").write_text(str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))

    assert await attempt(forks) == Done()
    assert (tmp_path / "status").read_text() == str(FORKED)


async def test_a_thread_over_its_time_is_stuck() -> None:
    told: list[bool] = []
    free = threading.Event()
    handler = handler_of(lambda task: free.wait(), timeout_s=0.05, stuck=lambda: told.append(True))
    assert (await late(handler)).startswith(LATE)
    assert told == [True]
    free.set()


# Anything at all.


class Wild(Exception):
    """Shows itself as it was told to."""

    def __init__(self, show: Any) -> None:
        self.show = show

    def __str__(self) -> str:
        if isinstance(self.show, BaseException):
            raise self.show
        return self.show  # type: ignore[no-any-return]


def failing(values: list[Any], error: BaseException) -> Iterator[Any]:
    yield from values
    raise error


class Failing(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        return failing([1], GeneratorExit())


texts = st.text(st.characters(codec=None, categories=None), max_size=20)
ERRORS: list[type[BaseException]] = [
    ValueError,
    PoisonError,
    SystemExit,
    KeyboardInterrupt,
    GeneratorExit,
    asyncio.CancelledError,
    StopIteration,
    StopAsyncIteration,
    RecursionError,
    MemoryError,
    OSError,
]
errors = st.builds(lambda kind, said: kind(said), st.sampled_from(ERRORS), texts)
wild = errors | st.builds(Wild, st.none() | st.integers() | texts | errors)
numbers = st.integers() | st.floats() | st.decimals() | st.complex_numbers()
leaves = (
    st.none()
    | st.booleans()
    | numbers
    | texts
    | st.binary(max_size=20)
    | st.builds(object)
    | st.builds(msgspec.Raw, st.binary(max_size=10))
    | st.builds(failing, st.just([]), errors)
    | st.dates()
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(texts | st.integers() | st.floats(), inner, max_size=4)
        | st.tuples(inner)
        | st.frozensets(st.integers(), max_size=3)
        | st.builds(Failing, st.lists(inner, max_size=2))
        | st.builds(Result, inner, inner)
        | st.builds(lambda item, count: [item] * count, inner, st.integers(0, EFFECTS_MAX + 2))
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(value=values, error=st.none() | wild, plain=st.booleans())
def test_whatever_a_handler_does_ends_as_a_record_that_everybody_can_read(
    loop: asyncio.AbstractEventLoop,
    tmp_path_factory: pytest.TempPathFactory,
    value: Any,
    error: BaseException | None,
    plain: bool,
) -> None:
    def act(task: Task) -> Any:
        if error is not None:
            raise error
        return value

    async def act_on_the_loop(task: Task) -> Any:
        return act(task)

    ended = loop.run_until_complete(attempt_once(act if plain else act_on_the_loop))
    reason = ended.reason if isinstance(ended, Failed) else ""
    result = TaskResult(
        task="t",
        key="k",
        job="j",
        status="dead" if isinstance(ended, Failed) else "ok",
        effects=ended.effects if isinstance(ended, Done) else (),
        value=ended.value if isinstance(ended, Done) else b"",
        reason=reason,
    )
    assert decode(encode(result), TaskResult) == result
    for effect in result.effects:
        json.loads(effect, parse_constant=pytest.fail)
    assert len(reason) <= 300
    assert re.fullmatch(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]*", reason)
    assert isinstance(ended, Done) or reason
    path = tmp_path_factory.getbasetemp() / "history.jsonl"
    with History(path, "agent-1", 1) as history:
        history("attempt", "fail", reason=reason, error=repr(value))
    assert json.loads(last_line(path))["reason"] == reason


async def attempt_once(function: Any) -> Done | Failed:
    handler = handler_of(function)
    try:
        return await handler.run(TASK, 1)
    finally:
        if handler._threads is not None:
            handler._threads.shutdown()


def last_line(path: Path) -> bytes:
    lines = path.read_bytes().splitlines()
    path.unlink()
    assert len(lines) == 1
    return lines[0]


# The history.


@pytest.mark.parametrize(
    "fact",
    [
        "\ud800",
        "x" * 3_000_000,
        object(),
        2**70,
        Decimal("NaN"),
        math.nan,
        {"deep": [{"er": [object()]}]},
        {1, 2},
    ],
)
def test_a_line_of_the_history_is_written_whatever_it_says(tmp_path: Path, fact: Any) -> None:
    with History(tmp_path / "history.jsonl", "agent-1", 1) as history:
        history("attempt", "fail", task="t", reason=fact)
        history("attempt", "ok")
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_bytes().splitlines()]
    assert [line["i"] for line in lines] == [1, 2]
    assert lines[0]["task"] == "t"
    assert len(json.dumps(lines[0])) < 2_000_000
