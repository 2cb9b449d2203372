"""A real nats-server, and a connection to it that speaks the model's frames."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from squall.bus.broker import find_server
from squall.bus.guard import Guard
from squall.chaos.model import headers as known
from squall.chaos.model.frames import (
    Denied,
    End,
    Headers,
    Msg,
    Ping,
    Pong,
    Pub,
    Sub,
    ToBroker,
    ToClient,
    Unsub,
)

CONFIG = """
listen: "127.0.0.1:{port}"
server_name: squall
jetstream {{ store_dir: {store}, max_file_store: 4294967296 }}
max_payload: 1048576
max_control_line: 65536
ping_interval: "{ping_s}s"
ping_max: 2
"""


class Server:
    """A nats-server of one's own, without accounts."""

    def __init__(self, guard: Guard, directory: Path, *, ping_s: int = 20) -> None:
        self._guard = guard
        self._directory = directory
        self._ping_s = ping_s
        self._process: asyncio.subprocess.Process | None = None
        self.port = -1

    async def start(self) -> None:
        """Start it, on the port that it had before."""
        config = self._directory / "nats-server.conf"
        store = json.dumps(str(self._directory / "store"))
        config.write_text(CONFIG.format(port=self.port, store=store, ping_s=self._ping_s))
        for stale in self._directory.glob("*.ports"):
            stale.unlink()
        with (self._directory / "server.log").open("ab") as log:
            self._process = await self._guard.spawn(
                find_server(), "-c", config, "--ports_file_dir", self._directory, stdout=log, stderr=log
            )
        until = time.monotonic() + 30
        while True:
            with contextlib.suppress(StopIteration, ValueError, OSError):
                ports = next(self._directory.glob(f"*_{self._process.pid}.ports"))
                self.port = int(json.loads(ports.read_bytes())["nats"][0].rsplit(":", 1)[1])
                _, writer = await asyncio.open_connection("127.0.0.1", self.port)
                await _close(writer)
                return
            assert time.monotonic() < until, "nats-server does not start"
            await asyncio.sleep(0.01)

    async def kill(self) -> None:
        """End it at once."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
            self._guard.release(self._process.pid)


@contextlib.asynccontextmanager
async def server(directory: Path, *, ping_s: int = 20) -> AsyncIterator[Server]:
    """A server that runs in the block."""
    async with Guard() as guard:
        running = Server(guard, directory, ping_s=ping_s)
        await running.start()
        try:
            yield running
        finally:
            await running.kill()


class Wire:
    """A connection to a server. It takes frames as a session of the model does."""

    def __init__(self, writer: asyncio.StreamWriter, deliver: Callable[[ToClient], None]) -> None:
        self._writer = writer
        self._deliver = deliver

    @classmethod
    async def connect(cls, port: int, name: str, deliver: Callable[[ToClient], None]) -> Wire:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
        await reader.readline()  # INFO
        options = {"name": name, "verbose": False, "pedantic": False, "headers": True, "no_responders": True}
        writer.write(f"CONNECT {json.dumps(options)}\r\nPING\r\n".encode())
        assert await reader.readline() == b"PONG\r\n"
        wire = cls(writer, deliver)
        wire._reading = asyncio.create_task(wire._read(reader))
        return wire

    _reading: asyncio.Task[None]

    def receive(self, frame: ToBroker) -> None:
        match frame:
            case Pub(subject, reply, headers, data):
                raw = _encode(headers)
                verb, sizes = ("HPUB", f"{len(raw)} {len(raw) + len(data)}") if raw else ("PUB", len(data))
                self._writer.write(f"{verb} {subject} {reply} {sizes}\r\n".encode() + raw + data + b"\r\n")
            case Sub(sid, subject):
                self._writer.write(f"SUB {subject} {sid}\r\n".encode())
            case Unsub(sid):
                self._writer.write(f"UNSUB {sid}\r\n".encode())
            case Ping():
                self._writer.write(b"PING\r\n")
            case Pong():
                self._writer.write(b"PONG\r\n")

    async def close(self) -> None:
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await _close(self._writer)

    async def _read(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while line := (await reader.readuntil(b"\r\n")).decode().rstrip():
                verb, _, rest = line.partition(" ")
                if verb in ("MSG", "HMSG"):
                    self._deliver(await self._message(reader, rest.split(" "), verb == "HMSG"))
                elif verb == "PING":
                    self._deliver(Ping())
                elif verb == "PONG":
                    self._deliver(Pong())
                elif verb == "-ERR":
                    self._deliver(Denied(rest.strip("'")))
        self._deliver(End())

    async def _message(self, reader: asyncio.StreamReader, told: list[str], has_headers: bool) -> Msg:
        size = int(told.pop())
        above = int(told.pop()) if has_headers else 0
        data = (await reader.readexactly(size + 2))[:-2]
        reply = told[2] if len(told) > 2 else ""
        return Msg(int(told[1]), told[0], reply, _decode(data[:above]), data[above:])


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def _encode(headers: Headers) -> bytes:
    return known.raw(headers) if headers else b""


def _decode(raw: bytes) -> Headers:
    """Headers as nats-py hands them over."""
    if not raw:
        return None
    status, *lines = raw.decode().rstrip().split("\r\n")
    headers = {}
    if inline := status.removeprefix("NATS/1.0").strip():
        code, _, description = inline.partition(" ")
        headers["Status"] = code
        if description:
            headers["Description"] = description
    for line in lines:
        name, _, value = line.partition(":")
        headers[name] = value.strip()
    return headers
