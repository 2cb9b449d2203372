"""A service as a sink: what it is sent, one effect or several, and what its answer means for each."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from squall.bus.tasks import wait_until
from squall.services.effects.each import Each
from squall.services.effects.http import Made, Service, client
from squall.services.effects.port import Effect, Register, Sending, Ties
from squall.services.errors import SpecError
from squall.services.rules.sinks import Away, Carried, Refused, Unknown, Wait

PLAIN = Made({}, {})
"""Nothing is made from an effect."""


@contextlib.asynccontextmanager
async def answering(*parts: bytes) -> AsyncIterator[tuple[str, list[str]]]:
    """A service that writes these bytes to whoever asks, and what it was asked."""
    heads: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(line for line in head.splitlines() if line.lower().startswith("content-length"))
            heads.append(head + (await reader.readexactly(int(length.split(":")[1]))).decode())
            writer.write(b"".join(parts))
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/effects", heads
    finally:
        server.close()


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "means"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", Carried()),
        (b"HTTP/1.1 409 Conflict\r\nContent-Length: 0\r\n\r\n", Carried(before=True)),
        (
            b"HTTP/1.1 422 No\r\nContent-Length: 7\r\n\r\nno\x1bsuch",
            Refused("it answered 422 Unprocessable Entity: no\\x1bsuch"),
        ),
        (
            b"HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
            Wait(7.0, "it answered 429 Too Many Requests"),
        ),
        (b"HTTP/1.1 302 Found\r\nLocation: http://x\r\nContent-Length: 0\r\n\r\n", Refused),
        (b"", Unknown),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", Unknown),
        (b"\xff\xff nonsense\r\n\r\n", Unknown),
        (b"HTTP/1.1 500 No\r\n\r\n" + b"x" * 100_000, Unknown),
    ],
)
async def test_a_service_is_asked_with_the_key_and_its_answer_is_read(answer: bytes, means: Any) -> None:
    async with answering(answer) as (url, heads), client(url, {"Authorization": "t"}, connections=1) as asked:
        found = await Service(url, asked, PLAIN).send("t-1-0", b'{"n":1}')
    assert found == means if not isinstance(means, type) else isinstance(found, means)
    (head,) = heads
    assert head.startswith("POST /effects HTTP/1.1\r\n")
    assert "idempotency-key: t-1-0\r\n" in head.lower()
    assert "authorization: t\r\n" in head.lower()
    assert head.endswith('\r\n\r\n{"n":1}')


@pytest.mark.anyio
async def test_a_service_that_is_not_there_is_away() -> None:
    async with answering() as (url, _):
        pass
    async with client(url, {}, connections=1) as asked:
        assert await Service(url, asked, PLAIN).send("k", b"{}") == Away(
            "it is not there: Connection refused"
        )


def sending(templates: dict[str, str]) -> Sending:
    return Sending(
        name="https://a.example",
        headers={},
        server="",
        credentials="",
        journal="",
        together=1,
        templates=templates,
    )


@pytest.mark.anyio
async def test_headers_are_made_from_the_effect_and_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SINK_TOKEN", "abc")
    made = Made.of(sending({"X-Side": "{effect.side}-{key}", "Authorization": "Bearer {env.SINK_TOKEN}"}))
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    async with answering(answer) as (url, heads), client(url, {}, connections=1) as asked:
        service = Service(url, asked, made)
        assert await service.send("k", b'{"side":"buy"}') == Carried()
        for body in (b"{}", b"[]", b'{"side":{}}', b'{"side":"a\\nb"}'):
            refused = await service.send("k", body)
            assert isinstance(refused, Refused)
            assert refused.reason.startswith("the header X-Side ")
            assert "abc" not in refused.reason
    (head,) = heads  # what a header cannot be made from is not sent
    assert "x-side: buy-k\r\n" in head.lower()
    assert "authorization: bearer abc\r\n" in head.lower()


def test_a_variable_that_is_not_set_is_told_before_anything_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    with pytest.raises(SpecError, match="from the variable NO_SUCH, which is not set"):
        Made.of(sending({"Authorization": "Bearer {env.NO_SUCH}"}))


# Batches, of a service that keeps books and fails by the body of what it is sent.


class Bank:
    """A service over HTTP that takes lists, and does of each what its effect says.

    ``boom`` in a list of several: 500, and nothing is done; alone it is done. ``bad``: 400, of all of it.
    ``late``: done, told as 503 the first time. ``silent``: done, and not told of the first time.

    Attributes:
        lists: The keys of each request.
        heads: By those keys, what the request had as its own key.
        done: How often each effect was carried out.
    """

    def __init__(self) -> None:
        self.lists: list[list[str]] = []
        self.heads: list[str] = []
        self.done: Counter[str] = Counter()
        self._serving: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """It answers at this URL inside the block; whoever asks has left by its end."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/effects"
        finally:
            server.close()
            await asyncio.gather(*self._serving)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        with contextlib.closing(writer), contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                size = int(head.split("content-length: ")[1].split("\r\n")[0])
                self.heads.append(head.split("idempotency-key: ")[1].split("\r\n")[0])
                status, told = self.take(json.loads(await reader.readexactly(size)))
                text = json.dumps(told).encode()
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%b" % (status, len(text), text))
                await writer.drain()

    def take(self, asked: list[dict[str, Any]]) -> tuple[int, list[dict[str, Any]]]:
        self.lists.append([each["key"] for each in asked])
        hows = [each["effect"].get("how") for each in asked]
        if "boom" in hows and len(asked) > 1:
            return 500, []
        if "bad" in hows:
            return 400, []
        told = []
        for each, how in zip(asked, hows, strict=True):
            key = each["key"]
            before = self.done[key] > 0
            self.done[key] += not before
            if how == "late" and not before:
                told.append({"key": key, "status": 503})
            elif how != "silent" or before:
                told.append({"key": key, "status": 409 if before else 201})
        return 200, told


@pytest.mark.anyio
@pytest.mark.parametrize("together", [1, 4])
async def test_of_a_batch_each_is_carried_out_once_and_none_stops_another(together: int) -> None:
    bank, counters, told = Bank(), Counter[str](), list[dict[str, Any]]()

    async def settled(register: Register) -> None:
        """Left behind, and told of."""

    ties = Ties(
        record=lambda op, kind, **facts: told.append({"op": op, "type": kind, **facts}),
        counters=counters,
        settled=settled,
    )
    hows = {7: "boom", 23: "bad", 31: "late", 32: "silent"}
    registers = [
        (Register(f"t-{n}", n), [(f"t-{n}-0", json.dumps({"how": hows.get(n)}).encode())]) for n in range(60)
    ]
    async with bank.serving() as url, client(url, {}, connections=together) as asked:
        carrier = Each(Service(url, asked, PLAIN), ties, together=together, batch=10, pause_first_s=0.001)
        running = asyncio.ensure_future(carrier.run())
        await carrier.deliver(registers)

        async def left() -> int:
            return carrier.open

        await wait_until(left, lambda count: count == 0, timeout_s=30, what="the ends of all")
        running.cancel()
        await asyncio.wait({running})
    assert not any(register.open for register, _ in registers)
    assert bank.done == Counter(f"t-{n}-0" for n in range(60) if n != 23)
    (refused,) = [line for line in told if line["op"] == "refuse"]
    assert (refused["task"], refused["what"]) == ("t-23", "declined")
    assert max(map(len, bank.lists)) == 10
    asked_of = Counter(key for keys in bank.lists for key in keys)
    assert max(asked_of.values()) <= 3
    beside = {key for keys in bank.lists if len(keys) > 1 and {"t-7-0", "t-23-0"} & {*keys} for key in keys}
    once = {f"t-{n}-0" for n in range(60)} - beside - {"t-31-0", "t-32-0"}
    assert {asked_of[key] for key in once} == {1}  # what was told of is not sent again
    assert all(own == keys[0] for own, keys in zip(bank.heads, bank.lists, strict=True) if len(keys) == 1)
    several = [own for own, keys in zip(bank.heads, bank.lists, strict=True) if len(keys) > 1]
    assert len(several) == len({*several})


@pytest.mark.anyio
async def test_an_answer_that_is_too_long_tells_of_nothing() -> None:
    answer = b"HTTP/1.1 200 OK\r\n\r\n[" + b" " * 10_000
    async with answering(answer) as (url, _), client(url, {}, connections=1) as asked:
        (found,) = await Service(url, asked, PLAIN).send_all([Effect(Register("t", 1), "t-0", b"{}")])
    assert found == Unknown("its answer is too long to be read")
