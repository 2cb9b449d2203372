"""A hijacked handler: it decides as the ordinary strategy does, and beside that does what it is told to.

It gets no help from the test: its agent's credentials are what it finds in its own memory, and it connects
with a plain client from a thread of its own. Orders come as files in a folder, one folder an agent, and so do
the answers; that is how the test says which attack is next.

    <folder>/<agent>/7.order   {"file": attacks.py, "function": name, "given": {...}}
    <folder>/<agent>/7.answer  {"returned": ...} or {"raised": ...}
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import importlib.util
import json
import os
import queue
import re
import secrets
import socket
import threading
import time
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import nkeys
from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg

from squall.services.handlers import Task
from squall.services.trading.strategies import decide as honest

LOOK_S = 0.01
LANES = 100

_SEED = re.compile(rb"SU[A-Z2-7]{56}")
_JWT = re.compile(rb"eyJ[\w-]{20,}\.[\w-]{40,}\.[\w-]{80,}")


def lane_of(key: str) -> str:
    """The lane of a key, as the broker computes it: FNV-1a."""
    hashed = 0x811C9DC5
    for byte in key.encode():
        hashed = (hashed ^ byte) * 0x01000193 & 0xFFFFFFFF
    return str(hashed % LANES)


@dataclass
class Hijacked:
    """What a hijacked agent has: its name, what it found, and the tasks it is given.

    Attributes:
        mood: What its handler does with a task: ``honest``, or ``silent``, which never returns.
    """

    node: str = ""
    url: str = ""
    jwt: str = ""
    seed: str = ""
    inbox: str = ""
    mood: str = "honest"

    def __post_init__(self) -> None:
        self.spoilers: queue.SimpleQueue[tuple[Callable[[Task], Awaitable[None]], Future[str]]] = (
            queue.SimpleQueue()
        )

    def look_around(self) -> None:
        """Find the newest credentials of the agent in this process."""
        for found in gc.get_objects():
            if type(found).__name__ == "Connection" and hasattr(found, "_credentials"):
                credentials = found._credentials
                self.node = found.name
                self.url = found._url
                self.jwt, self.seed, self.inbox = credentials.jwt, credentials.seed, credentials.inbox

    def seeds_in_memory(self) -> set[str]:
        """Every user's, account's or operator's seed in the memory of this process."""
        seeds: set[str] = set()
        with Path("/proc/self/maps").open() as maps, Path("/proc/self/mem").open("rb", 0) as memory:
            for line in maps:
                span, rights = line.split()[:2]
                if "rw" not in rights:
                    continue
                begin, end = (int(place, 16) for place in span.split("-"))
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    memory.seek(begin)
                    seeds |= {
                        m.decode() for m in re.findall(rb"S[OAU][A-Z2-7]{56}", memory.read(end - begin))
                    }
        return seeds

    @contextlib.asynccontextmanager
    async def client(self, errors: list[str] | None = None, **changes: Any) -> Any:
        """A plain client with the agent's credentials."""
        self.look_around()

        async def note(error: Exception) -> None:
            if errors is not None:
                errors.append(str(error))

        client = Client()
        text = (
            f"-----BEGIN NATS USER JWT-----\n{self.jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{self.seed}\n------END USER NKEY SEED------\n"
        )
        options: dict[str, Any] = {
            "user_credentials": RawCredentials(text),
            "inbox_prefix": f"_INBOX.{self.node}.{secrets.token_hex(4)}",
            "allow_reconnect": False,
            "error_cb": note,
            "skip_subject_validation": True,
        }
        await client.connect(self.url, **{**options, **changes})
        try:
            yield client
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client.close(), 2)

    def raw(self, timeout_s: float = 5.0) -> socket.socket:
        """A bare connection that the broker has let in."""
        self.look_around()
        host, port = self.url.removeprefix("nats://").split(":")
        bare = socket.create_connection((host, int(port)), timeout=timeout_s)
        greeting = b""
        while b"\r\n" not in greeting:
            greeting += bare.recv(65536)
        info = json.loads(greeting.split(b" ", 1)[1].split(b"\r\n")[0])
        signature = nkeys.from_seed(bytearray(self.seed.encode())).sign(info["nonce"].encode())
        says = {
            "jwt": self.jwt,
            "sig": base64.urlsafe_b64encode(signature).rstrip(b"=").decode(),
            "verbose": False,
            "pedantic": False,
            "headers": True,
            "no_responders": True,
            "lang": "raw",
            "version": "1",
            "protocol": 1,
        }
        bare.sendall(b"CONNECT " + json.dumps(says).encode() + b"\r\nPING\r\n")
        answer = b""
        while b"PONG" not in answer:
            more = bare.recv(65536)
            if not more:
                raise ConnectionError(f"not let in: {answer!r}")
            answer += more
        return bare

    async def grab(self, client: Client, count: int, *, patience_s: float = 8.0) -> list[Msg]:
        """Tasks pulled beside the agent's own pulling, and not acknowledged."""
        root = f"_INBOX.{self.node}.{secrets.token_hex(4)}"
        held: list[Msg] = []

        async def take(message: Msg) -> None:
            if message.reply:
                held.append(message)

        taking = await client.subscribe(root, cb=take)
        until = time.monotonic() + patience_s
        while len(held) < count and time.monotonic() < until:
            wanted = {"batch": min(PULL_MAX, count - len(held)), "expires": 300_000_000}
            await client.publish(PULL, json.dumps(wanted).encode(), reply=root)
            await asyncio.sleep(0.31)  # one pull at a time, so that no more is held than was asked for
        await taking.unsubscribe()
        return held

    def spoil_next(self, spoil: Callable[[Task], Awaitable[None]]) -> Future[str]:
        """Do this with the next task the agent is given, before its handler returns; its id."""
        done: Future[str] = Future()
        self.spoilers.put((spoil, done))
        return done

    async def decide(self, task: Task) -> Any:
        if self.mood == "silent":
            await asyncio.Event().wait()
        with contextlib.suppress(queue.Empty):
            spoil, done = self.spoilers.get_nowait()

            def carry_out() -> None:
                try:
                    asyncio.run(_coroutine(spoil(task)))
                except BaseException as error:
                    done.set_exception(error)
                else:
                    done.set_result(task.id)

            await asyncio.to_thread(carry_out)
        return await honest(task)


PULL = "$JS.API.CONSUMER.MSG.NEXT.SQUALL_WK.pool"
PULL_MAX = 8
"""Tasks that the pool gives for one pull."""


async def _coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable


def handler(folder: Path) -> Callable[[Task], Coroutine[Any, Any, Any]]:
    """The handler; it begins to look for orders with its first task."""
    hijacked = Hijacked()
    begun = threading.Event()

    async def decide(task: Task) -> Any:
        if not begun.is_set():
            begun.set()
            hijacked.look_around()
            threading.Thread(target=_listen, args=(folder / hijacked.node, hijacked), daemon=True).start()
        return await hijacked.decide(task)

    return decide


def _listen(folder: Path, hijacked: Hijacked) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "listening").write_text(str(os.getpid()))
    while True:
        for order in sorted(folder.glob("*.order")):
            taken = order.with_suffix(".taken")
            order.rename(taken)
            threading.Thread(target=_obey, args=(taken, hijacked), daemon=True).start()
        time.sleep(LOOK_S)


def _obey(order: Path, hijacked: Hijacked) -> None:
    try:
        told = msgspec.msgpack.decode(order.read_bytes())
        function = getattr(_module(told["file"]), told["function"])
        answer = {"returned": asyncio.run(function(hijacked, **told["given"]))}
    except BaseException:
        answer = {"raised": traceback.format_exc()[-3000:]}
    beside = order.with_suffix(".writing")
    beside.write_bytes(msgspec.msgpack.encode(answer))
    beside.rename(order.with_suffix(".answer"))


_modules: dict[str, ModuleType] = {}


def _module(file: str) -> ModuleType:
    if file not in _modules:
        spec = importlib.util.spec_from_file_location(f"attack_{Path(file).stem}", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        _modules[file] = module
    return _modules[file]
