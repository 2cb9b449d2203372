"""Whatever a handler does, of whatever kind: what came of the task, in a sentence, while its neighbours flow.

A function has no way to answer twice, in part, or for another task: what it returns is one value. What its
module does while it is imported is told before anything starts; see `test_loading.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit import answering_services as services
from tests.unit.answering_services import says, serving
from tests.unit.ported import (
    AGAIN,
    DONE,
    FINAL,
    NOT_BEGUN,
    command,
    handling,
    is_as_said,
    opened,
    task,
)

from squall.bus.ended import Failed, NotThere
from squall.services.handlers import Task
from squall.services.handlers.answers import ANSWER_BYTES_MAX
from squall.services.handlers.outcome import RESULT_BYTES_MAX
from squall.services.handlers.port import Port
from squall.services.handlers.python import loaded

pytestmark = pytest.mark.anyio

TIMEOUT_S = 2.0
"""Of what hangs, and of what is late, which answers after `LATE_S`."""

MUCH = f"the handler answered with more than {ANSWER_BYTES_MAX:,} bytes, the most there may be"
LATE = f"the handler did not answer within {TIMEOUT_S:g} s"
REMAINS = "the handler broke off before it had answered"

# What a task comes to: the sentence, and whether it is dead at once; or that it is done, or not begun.

TABLE: list[tuple[str, str, str, str]] = [
    (
        "python",
        "garbage",
        FINAL,
        "the handler returned what cannot be sent: a value of type object cannot be",
    ),
    ("python", "dies", AGAIN, "the handler raised SystemExit: 3"),
    ("python", "hangs", AGAIN, f"the handler did not return within {TIMEOUT_S:g} s; it stood at"),
    ("python", "late", AGAIN, f"the handler did not return within {TIMEOUT_S:g} s; it stood at"),
    ("python", "much", FINAL, f"bytes, and there may be {RESULT_BYTES_MAX:,}"),
    ("python", "slow_start", DONE, ""),
    ("exec", "garbage", AGAIN, "the handler answered with what is not JSON: 'hello, I am working on it'"),
    ("exec", "dies", AGAIN, "the handler ended with status 3 before it had answered"),
    ("exec", "hangs", AGAIN, LATE),
    ("exec", "late", AGAIN, LATE),
    ("exec", "twice", DONE, ""),
    ("exec", "partial", AGAIN, 'the handler ended with status 0 in the middle of an answer: \'{"id": "t-1",'),
    ("exec", "torn", AGAIN, "the handler ended with status 0 in the middle of an answer"),
    ("exec", "much", FINAL, MUCH),
    ("exec", "endless", FINAL, MUCH),
    ("exec", "another", AGAIN, "the handler answered task 't-other' when it had been given 't-1'"),
    ("exec", "anonymous", AGAIN, "the handler answered without an id, which is to be 't-1'"),
    ("exec", "strange", AGAIN, "has the field 'effect', which no answer has; did you mean 'effects'?"),
    ("exec", "fails", AGAIN, "the handler answered with the error no price"),
    ("exec", "gives_up", FINAL, "the handler gave it up: no such account"),
    ("exec", "deaf", NOT_BEGUN, "it ended with status 4 before it read its first task"),
    ("exec", "slow_start", DONE, ""),
    ("http", "garbage", AGAIN, "the handler answered with what is not JSON: '<html>'"),
    ("http", "empty", AGAIN, "the handler answered with what is not JSON: ''"),
    ("http", "dies", AGAIN, REMAINS),
    ("http", "hangs", AGAIN, LATE),
    ("http", "late", AGAIN, LATE),
    ("http", "twice", DONE, ""),
    ("http", "partial", AGAIN, REMAINS),
    ("http", "partial_without_length", AGAIN, "the handler answered with what is not JSON"),
    ("http", "much", FINAL, MUCH),
    ("http", "endless", FINAL, MUCH),
    ("http", "another", AGAIN, "the handler answered task 't-other' when it had been given 't-1'"),
    ("http", "anonymous", AGAIN, "the handler answered without an id, which is to be 't-1'"),
    ("http", "fails", AGAIN, "the handler answered with the error no price"),
    ("http", "400", FINAL, "the handler gave it up: it answered 400 Bad Request: 'no such account'"),
    ("http", "404", FINAL, "the handler answered 404 Not Found"),
    ("http", "408", AGAIN, "the handler answered 408 Request Timeout"),
    ("http", "500", AGAIN, "the handler answered 500 Internal Server Error"),
    ("http", "moved", FINAL, "and nobody is followed elsewhere: name the URL that it leads to"),
    ("http", "absent", NOT_BEGUN, "Connection refused"),
    ("http", "slow_start", DONE, ""),
]

REPLIES: dict[str, services.Reply] = {
    "garbage": says("200 OK", b"<html>"),
    "empty": says("200 OK"),
    "another": says("200 OK", b'{"id": "t-other", "effects": []}'),
    "anonymous": says("200 OK", b"{}"),
    "fails": says("200 OK", b'{"id": "t-1", "error": "no price"}'),
    "much": says("200 OK", b'"' + b"x" * 2_000_000 + b'"'),
    "400": says("400 X", b"no such account"),
    "404": says("404 X"),
    "408": says("408 X"),
    "500": says("500 X", b"\x1b[31mboom"),
    "moved": says("307 X", b"", "Location: http://127.0.0.1:1/"),
}


async def slow_start(task: Task) -> dict[str, int]:
    await asyncio.sleep(TIMEOUT_S / 4)
    return {"n": task.number}


async def hangs(task: Task) -> None:
    await asyncio.Event().wait()


async def late(task: Task) -> dict[str, int]:
    await asyncio.sleep(services.LATE_S)
    return {"n": task.number}


def dies(task: Task) -> None:
    raise SystemExit(3)


FUNCTIONS: dict[str, Callable[[Task], Any]] = {
    "garbage": lambda task: object(),
    "dies": dies,
    "hangs": hangs,
    "late": late,
    "much": lambda task: "x" * 2_000_000,
    "slow_start": slow_start,
}


@contextlib.asynccontextmanager
async def behaving(kind: str, how: str, folder: Path) -> AsyncIterator[Port]:
    """A handler of a kind that does something to tasks whose key is ``bad``, and does all others well."""
    timeout_s = TIMEOUT_S if how in ("hangs", "late") else 20.0
    if kind == "python":
        misbehave = FUNCTIONS[how]

        async def decide(task: Task) -> Any:
            found = misbehave(task) if task.key == "bad" else {"n": task.number}
            return await found if asyncio.iscoroutine(found) else found

        async with opened(loaded(decide), timeout_s=timeout_s) as port:
            yield port
    elif kind == "exec":
        async with opened(handling(command(how, str(folder / "pids"))), timeout_s=timeout_s) as port:
            yield port
    elif how == "absent":
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{held.getsockname()[1]}/"
        async with opened(handling(url)) as port:
            yield port
    else:
        reply = REPLIES.get(how) or getattr(services, how)
        async with serving(reply) as url, opened(handling(url), timeout_s=timeout_s) as port:
            yield port


@pytest.mark.parametrize(("kind", "how", "end", "sentence"), TABLE, ids=[f"{k}-{h}" for k, h, _, _ in TABLE])
async def test_what_a_handler_does_is_an_outcome_of_its_own_task(
    kind: str, how: str, end: str, sentence: str, tmp_path: Path
) -> None:
    """Two neighbours are in hand at the same time, and one comes after it: all three are done."""
    async with behaving(kind, how, tmp_path) as port:
        ended, *others = await asyncio.gather(
            port.run(task(), 1), *(port.run(task(f"t-{n}", bad=False), 1) for n in (2, 3))
        )
        others.append(await port.run(task("t-4", bad=False), 1))
        if isinstance(others[-1], Failed) and how == "twice":  # what was on its way made that attempt fail
            others[-1] = await port.run(task("t-4", bad=False), 2)
    if end == NOT_BEGUN:
        assert isinstance(ended, NotThere), ended
        assert {type(each) for each in others} == {NotThere}
        assert ended.reason.startswith(sentence)
        return
    is_as_said(ended, others, end, sentence)
