"""What each kind of handler costs a task, beside calling the same function directly.

    direct    the function, called and its result encoded
    python    an async function through its port; threaded: a plain one
    exec      a program in Python that reads lines, kept running
    http      a service on this machine that answers at once, over kept connections

Each side does the same: a task of a few hundred bytes in, one order out. There is no broker in it. Rounds of
all kinds alternate; medians, and the least and the most.

    uv run python chaos/bench/handlers.py [--tasks 500] [--rounds 5] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shlex
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from squall.bus.ended import Done
from squall.bus.messages import RunTask
from squall.services.handlers import Task
from squall.services.handlers.kinds import load
from squall.services.handlers.port import Handling, Host, Port
from squall.services.handlers.python import loaded

BODY = msgspec.json.encode({"closes": [100.25 + day for day in range(20)], "account": "a", "risk": 7})
SLOTS = 8

PROGRAM = """
import json, sys
for line in sys.stdin:
    task = json.loads(line)
    order = {"account": "a", "symbol": "s", "n": task["number"], "side": "buy", "quantity": 1, "price": 2.5}
    print(json.dumps({"id": task["id"], "effects": [order]}), flush=True)
"""

Ask = Callable[[RunTask], Awaitable[Any]]


def order(number: int) -> dict[str, Any]:
    return {"account": "a", "symbol": "s", "n": number, "side": "buy", "quantity": 1, "price": 2.5}


async def decide(task: Task) -> dict[str, Any]:
    """The handler."""
    msgspec.json.decode(task.body)
    return order(task.number)


def plainly(task: Task) -> dict[str, Any]:
    """The same, in a thread."""
    msgspec.json.decode(task.body)
    return order(task.number)


async def direct(task: RunTask) -> bytes:
    given = Task(
        id=task.task,
        key=task.key,
        job=task.job,
        number=task.number,
        attempt=1,
        deadline_s=0.0,
        body=task.body,
    )
    return msgspec.json.encode(plainly(given))


def _host() -> Host:
    return Host(timeout_s=60.0, slots=SLOTS, threads=ThreadPoolExecutor, stuck=lambda: None)


def _asking(port: Port) -> Ask:
    async def ask(task: RunTask) -> Any:
        ended = await port.run(task, 1)
        assert isinstance(ended, Done), ended

    return ask


@contextlib.asynccontextmanager
async def _service() -> AsyncIterator[str]:
    """A service that answers at once."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
                task = msgspec.json.decode(await reader.readexactly(length))
                text = msgspec.json.encode({"id": task["id"], "effects": [order(task["number"])]})
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/decide"
    finally:
        server.close()


@contextlib.asynccontextmanager
async def _kinds() -> AsyncIterator[dict[str, Ask]]:
    async with _service() as url:
        named = {"exec": "exec:" + shlex.join([sys.executable, "-I", "-S", "-c", PROGRAM]), "http": url}
        ports = {"python": loaded(decide).open(_host()), "threaded": loaded(plainly).open(_host())}
        for kind, name in named.items():
            handling = Handling(name=name, parameters={}, environment=(), headers={})
            ports[kind] = load(handling).open(_host())
        try:
            yield {"direct": direct, **{kind: _asking(port) for kind, port in ports.items()}}
        finally:
            for port in ports.values():
                await port.close()


async def _one_by_one(ask: Ask, tasks: int) -> float:
    """Milliseconds a task, one at a time."""
    begun_s = time.perf_counter()
    for number in range(tasks):
        await ask(_task(number))
    return (time.perf_counter() - begun_s) * 1e3 / tasks


async def _together(ask: Ask, tasks: int) -> float:
    """Milliseconds a task, as many at a time as there are slots."""
    numbers = iter(range(tasks))

    async def slot() -> None:
        for number in numbers:
            await ask(_task(number))

    begun_s = time.perf_counter()
    await asyncio.gather(*(slot() for _ in range(SLOTS)))
    return (time.perf_counter() - begun_s) * 1e3 / tasks


def _task(number: int) -> RunTask:
    return RunTask(task=f"t-{number}", key="a-s", job="bench", number=number, body=BODY)


async def measure(tasks: int, rounds: int) -> dict[str, Any]:
    """Alternate rounds of all kinds."""
    seen: dict[str, list[tuple[float, float]]] = {}
    async with _kinds() as kinds:
        for ask in kinds.values():
            await _together(ask, 4 * SLOTS)  # processes are started, connections made
        for _ in range(rounds):
            for kind, ask in kinds.items():
                many = 20 * tasks if kind == "direct" else tasks
                seen.setdefault(kind, []).append((await _one_by_one(ask, many), await _together(ask, many)))
    return {
        kind: {
            "alone_ms": statistics.median(alone for alone, _ in figures),
            "together_ms": statistics.median(together for _, together in figures),
            "beside_direct": _ratios(
                [mine / other for (mine, _), (other, _) in zip(figures, seen["direct"], strict=True)]
            ),
        }
        for kind, figures in seen.items()
    }


def _ratios(ratios: list[float]) -> dict[str, float]:
    return {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)}


def main() -> None:
    """Measure, and print a line a kind or one document."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    options.add_argument("--tasks", type=int, default=500)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--json", action="store_true")
    given = options.parse_args()
    found = asyncio.run(measure(given.tasks, given.rounds))
    if given.json:
        sys.stdout.write(json.dumps({"kinds": found, "tasks": given.tasks, "rounds": given.rounds}) + "\n")
        return
    for kind, one in found.items():
        ratio = one["beside_direct"]
        sys.stdout.write(
            f"{kind:9} {one['alone_ms']:8.3f} ms alone   {one['together_ms']:8.3f} ms by {SLOTS} slots   "
            f"{ratio['median']:6.1f} x direct ({ratio['min']:.1f} to {ratio['max']:.1f})\n"
        )


if __name__ == "__main__":
    main()
