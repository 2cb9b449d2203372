"""What tests of all kinds of handlers have in common: a port, open inside a block, and tasks for it."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from squall.bus.connection import Connection
from squall.bus.ended import Done, Ended, Failed
from squall.bus.messages import RunTask
from squall.services.handlers.kinds import load
from squall.services.handlers.port import Handling, Host, Loaded, Port

PROGRAM = Path(__file__).parent / "answering.py"

FINAL, AGAIN, DONE, NOT_BEGUN = "final", "again", "done", "not begun"
"""What became of an attempt: failed for good, failed for now, made, or not even begun."""

NUMBER = 7
GOOD = (b'{"n":7}',)
"""What the programs, services and functions of these tests intend for a task that they do well."""


def handling(name: str, environment: tuple[str, ...] = (), headers: Mapping[str, str] = {}) -> Handling:
    return Handling(name=name, parameters={}, environment=environment, headers=headers)


def command(how: str, *more: str) -> str:
    """The name of the handler that is `answering.py`, told how to behave."""
    return "exec:" + shlex.join([sys.executable, "-I", "-S", str(PROGRAM), how, *more])


def task(name: str = "t-1", *, bad: bool = True, body: bytes = b'{"a": 1}') -> RunTask:
    return RunTask(task=name, key="bad" if bad else "good", job="j", number=NUMBER, body=body)


@contextlib.asynccontextmanager
async def opened(
    handler: Handling | Loaded, *, timeout_s: float = 10.0, connection: Connection | None = None
) -> AsyncIterator[Port]:
    """A handler that is open inside the block, for an agent with this connection."""
    host = Host(
        timeout_s=timeout_s,
        slots=4,
        threads=ThreadPoolExecutor,
        stuck=lambda: pytest.fail("called stuck"),
        connection=connection,
    )
    port = (handler if isinstance(handler, Loaded) else load(handler)).open(host)
    try:
        yield port
    finally:
        await port.close()


def is_as_said(ended: Ended, others: list[Ended], end: str, sentence: str) -> None:
    """See that a task came to an end, in a sentence, and that three neighbours of it were done."""
    assert [each.effects for each in others if isinstance(each, Done)] == [GOOD] * 3, others
    if end == DONE:
        assert isinstance(ended, Done), ended
        assert ended.effects == GOOD
        return
    assert isinstance(ended, Failed), ended
    assert sentence in ended.reason
    assert "\x1b" not in ended.reason
    assert ended.final is (end == FINAL)
