"""Services as handlers: whatever one answers, or does not, is an outcome of its own task, in a sentence."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from squall.bus.messages import RunTask
from squall.bus.work_queue import Done, Ended, Failed, NotThere
from squall.services.errors import SpecError
from squall.services.handlers.answers import ANSWER_BYTES_MAX
from squall.services.handlers.http import RETRY_AFTER_MAX_S, retry_after_s
from squall.services.handlers.kinds import load
from squall.services.handlers.port import Handling, Host, Port

pytestmark = pytest.mark.anyio

Reply = Callable[[dict[str, Any], asyncio.StreamWriter], Awaitable[None]]


def handling(name: str, **headers: str) -> Handling:
    return Handling(name=name, parameters={}, environment=(), headers=headers)


def port_to(url: str, *, timeout_s: float = 10.0, **headers: str) -> Port:
    host = Host(
        timeout_s=timeout_s, slots=4, threads=ThreadPoolExecutor, stuck=lambda: pytest.fail("called stuck")
    )
    return load(handling(url, **headers)).open(host)


def task(name: str = "t-1", *, bad: bool = True) -> RunTask:
    return RunTask(task=name, key="bad" if bad else "good", job="j", number=7, body=b'{"a": 1}')


class Seen:
    """What a service was sent."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.asked: list[dict[str, Any]] = []


def answered(status: str, body: bytes, *head: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *head]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def good(asked: dict[str, Any]) -> bytes:
    return json.dumps({"id": asked["id"], "effects": [{"n": asked["number"]}]}).encode()


@contextlib.asynccontextmanager
async def serving(reply: Reply, seen: Seen | None = None, port: int = 0) -> AsyncIterator[str]:
    """A service that replies so to tasks whose key is ``bad``, and well to all others."""
    seen = seen or Seen()
    open_: set[asyncio.Task[Any]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        me = asyncio.current_task()
        assert me is not None
        open_.add(me)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(line for line in head.splitlines() if line.lower().startswith("content-length"))
                asked = json.loads(await reader.readexactly(int(length.split(":")[1])))
                seen.heads.append(head)
                seen.asked.append(asked)
                if asked["key"] == "bad":
                    await reply(asked, writer)
                else:
                    writer.write(answered("200 OK", good(asked)))
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/decide"
    finally:
        server.close()
        for each in open_:
            each.cancel()


def says(status: str, body: bytes = b"", *head: str) -> Reply:
    async def reply(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        writer.write(answered(status, body, *head))

    return reply


async def dies(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def partial(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.write(answered("200 OK", good(asked))[:-5])
    await writer.drain()
    writer.close()


async def partial_without_length(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + good(asked)[:-5])
    await writer.drain()
    writer.close()


async def endless(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.0 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b"x" * 100_000)
        await writer.drain()


async def twice(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    writer.write(2 * answered("200 OK", good(asked)))


async def hangs(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


async def late(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(1.0)
    writer.write(answered("200 OK", good(asked)))


OTHER = b'{"id": "t-other", "effects": []}'

MISBEHAVIOUR: dict[str, tuple[Reply, str, bool]] = {
    "garbage": (says("200 OK", b"<html>"), "the handler answered with what is not JSON: '<html>'", False),
    "empty": (says("200 OK"), "the handler answered with what is not JSON: ''", False),
    "dies": (dies, "the handler broke off before it had answered", False),
    "partial": (partial, "the handler broke off before it had answered", False),
    "partial-1.0": (partial_without_length, "the handler answered with what is not JSON", False),
    "anonymous": (says("200 OK", b"{}"), "the handler answered without an id, which is to be 't-1'", False),
    "another": (says("200 OK", OTHER), "the handler answered task 't-other' when it had been given", False),
    "much": (
        says("200 OK", b'"' + b"x" * 2_000_000 + b'"'),
        f"the handler answered with more than {ANSWER_BYTES_MAX:,} bytes, the most there may be",
        True,
    ),
    "endless": (endless, f"the handler answered with more than {ANSWER_BYTES_MAX:,} bytes", True),
    "400": (says("400 X", b"no such account"), "the handler gave it up: it answered 400 Bad Request", True),
    "404": (says("404 X"), "the handler answered 404 Not Found", True),
    "500": (says("500 X", b"\x1b[31mboom"), "the handler answered 500 Internal Server Error", False),
    "moved": (says("307 X", b"", "Location: http://127.0.0.1:1/"), "and nobody is followed elsewhere", True),
    "error": (
        says("200 OK", b'{"id": "t-1", "error": "no price"}'),
        "the handler answered with the error no price",
        False,
    ),
}


@pytest.mark.parametrize("how", MISBEHAVIOUR)
async def test_what_a_service_does_wrong_ends_its_own_task_in_a_sentence(how: str) -> None:
    """Its neighbours, of which one is in hand at the same time, are answered."""
    reply, sentence, final = MISBEHAVIOUR[how]
    async with serving(reply) as url, contextlib.aclosing(Closing(port_to(url))) as port:
        ended, *others = await asyncio.gather(
            port.run(task(), 1), *(port.run(task(f"t-{n}", bad=False), 1) for n in (2, 3))
        )
        after = await port.run(task("t-4", bad=False), 1)
    assert isinstance(ended, Failed), ended
    assert sentence in ended.reason
    assert "\x1b" not in ended.reason
    assert ended.final is final
    assert [each.effects for each in (*others, after) if isinstance(each, Done)] == [(b'{"n":7}',)] * 3


class Closing:
    """A port that is closed as a block ends."""

    def __init__(self, port: Port) -> None:
        self.run = port.run
        self.port = port

    async def aclose(self) -> None:
        await self.port.close()


@pytest.mark.parametrize("reply", [hangs, late])
async def test_what_does_not_answer_in_time_is_not_waited_for(reply: Reply) -> None:
    async with serving(reply) as url, contextlib.aclosing(Closing(port_to(url, timeout_s=0.5))) as port:
        ended = await port.run(task(), 1)
        assert isinstance(ended, Failed)
        assert ended.reason == "the handler did not answer within 0.5 s"
        assert isinstance(await port.run(task("t-2", bad=False), 1), Done)


async def test_an_answer_that_comes_twice_counts_once_and_is_not_anothers() -> None:
    """The second is on its way when the next task is asked for, and makes that attempt fail, not more."""
    async with serving(twice) as url, contextlib.aclosing(Closing(port_to(url))) as port:
        for name in ("t-1", "t-2", "t-3"):
            ended = await port.run(task(name), 1)
            if not isinstance(ended, Done):
                assert isinstance(ended, Failed)
                assert not ended.final
                assert f"when it had been given '{name}'" in ended.reason
                ended = await port.run(task(name), 2)
            assert ended == Done((b'{"n":7}',))


async def test_nobody_there_is_no_attempt_until_somebody_is() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        number = held.getsockname()[1]
    async with contextlib.aclosing(Closing(port_to(f"http://127.0.0.1:{number}/decide"))) as port:
        ended = await port.run(task(), 1)
        assert isinstance(ended, NotThere), ended
        assert port.port.health == f"it is not there: {ended.reason}"
        async with serving(says("204 No Content"), port=number):
            assert await port.run(task(), 1) == Done()
        assert port.port.health == ""


@pytest.mark.parametrize(
    ("status", "head", "after_s"),
    [
        ("429 X", "Retry-After: 7", 7.0),
        ("503 X", "Retry-After: 999999", RETRY_AFTER_MAX_S),
        ("425 X", "Retry-After: soon", 0.0),
        ("408 X", "X-Nothing: 1", 0.0),
    ],
)
async def test_who_asks_to_be_left_alone_is_asked_again_no_sooner(
    status: str, head: str, after_s: float
) -> None:
    async with serving(says(status, b"", head)) as url, contextlib.aclosing(Closing(port_to(url))) as port:
        ended = await port.run(task(), 1)
    assert isinstance(ended, Failed)
    assert (ended.final, ended.after_s) == (False, after_s)


def test_a_date_is_as_good_as_seconds() -> None:
    assert retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 50.0) == 10.0
    assert retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 70.0) == 0.0


async def test_a_request_has_the_task_a_key_for_repeats_and_the_headers_of_the_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AGENT_TOKEN", "Bearer secret")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    seen = Seen()
    async with (
        serving(says("204 No Content"), seen) as url,
        contextlib.aclosing(Closing(port_to(url, Authorization="AGENT_TOKEN"))) as port,
    ):
        ended: Ended = await port.run(task(), 2)
    assert ended == Done()
    assert seen.asked == [
        {
            "id": "t-1",
            "key": "bad",
            "job": "j",
            "number": 7,
            "attempt": 2,
            "deadline_s": 0.0,
            "body": {"a": 1},
        }
    ]
    head = seen.heads[0].lower()
    assert "idempotency-key: t-1\r\n" in head
    assert "authorization: bearer secret\r\n" in head


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("http:", "names nothing"),
        ("http://", "is no URL"),
        ("http://127.0.0.1:99999/", "is no URL"),
        ("http://agent:secret@127.0.0.1/", "credentials do not belong in a URL, which is logged"),
        ("ftp://127.0.0.1/x", "is of no kind that there is: ftp:"),
        ("htp://127.0.0.1/x", "is of no kind that there is: htp:"),
    ],
)
def test_what_cannot_work_is_one_sentence(name: str, said: str) -> None:
    with pytest.raises(SpecError) as raised:
        load(handling(name))
    assert said in str(raised.value)
    assert "secret" not in f"{raised.value} {raised.value.remedy}"
    assert raised.value.remedy


def test_a_header_whose_variable_is_not_set_is_told_before_anything_starts() -> None:
    with pytest.raises(SpecError, match="is to come from the variable NO_SUCH_KEY, which is not set"):
        load(handling("http://127.0.0.1:8080/", Authorization="NO_SUCH_KEY"))
