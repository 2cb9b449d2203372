"""What a hijacked agent can *do too much of*: hold, give back, ask, send, connect and fill."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import socket
import time
from typing import TYPE_CHECKING, Any

import msgspec

from squall.bus.messages import Heartbeat, LeaderAccepted, TaskResult

if TYPE_CHECKING:
    from tests.scenarios.attacks.hijack import Hijacked

PULL = "$JS.API.CONSUMER.MSG.NEXT.SQUALL_WK.pool"
PULLS: tuple[dict[str, int], ...] = (
    {"batch": 8, "expires": 2_000_000_000},
    {"batch": 1, "expires": 5_000_000_000},
    {"batch": 256, "expires": 2_000_000_000},
    {"batch": 1, "expires": 3_600_000_000_000},
    {"batch": 8, "no_wait": True},
)
"""Requests within what the pool allows, and beyond it."""

NUMBER = b"@@@@@@@@"
"""Stands for a number that no two messages of a flood share."""


def pub(subject: str, data: bytes, reply: str = "") -> bytes:
    return f"PUB {subject} {reply} {len(data)}\r\n".encode() + data + b"\r\n"


def floods(node: str) -> dict[str, bytes]:
    """What may be sent without end, as the wire has it."""
    beat = msgspec.msgpack.encode(Heartbeat(role="agent", node=node, incarnation=1, slots=8))
    answer = msgspec.msgpack.encode(LeaderAccepted(node=node, term=1, slots=8))
    facts: dict[str, Any] = {"task": "own-x", "key": "k", "job": "j"}
    ok = msgspec.msgpack.encode(TaskResult(status="ok", **facts))
    dead = msgspec.msgpack.encode(TaskResult(status="dead", **facts))
    ordering = msgspec.msgpack.encode(TaskResult(status="ok", effects=(b'{"account":"a"}',), **facts))
    slot = f"sw.squall.res.0.own-{NUMBER.decode()}"
    return {
        "heartbeats": pub(f"sw.squall.hb.agent.{node}", beat),
        "heartbeats of a megabyte": pub(f"sw.squall.hb.agent.{node}", b"x" * 900_000),
        "answers": pub(f"sw.squall.rep.{node}.x", answer),
        "pulls": pub(PULL, b'{"batch":1,"no_wait":true}', f"_INBOX.{node}.zz"),
        "pulls that make no sense": pub(PULL, b"{", f"_INBOX.{node}.zz"),
        "acknowledgements of nothing": pub("$JS.ACK.SQUALL_WK.pool.1.999999.999999.1.0", b"+ACK"),
        "registers": pub(slot, ok),
        "registers of dead tasks": pub(slot, dead),
        "registers with an order": pub(slot, ordering),
        "registers that are garbage": pub(slot, b"\xc1"),
        "one register again and again": pub("sw.squall.res.0.own-x", ok),
        "marks": pub(f"sw.squall.try.pool.0.own-{NUMBER.decode()}", b"\xc1"),
        "reads of marks": pub(
            "$JS.API.DIRECT.GET.SQUALL_TRY.sw.squall.try.pool.0.own-x", b"", f"_INBOX.{node}.zz"
        ),
        "what is forbidden": pub("sw.squall.job.term", b"x"),
        "pings": b"PING\r\n",
    }


async def flood(me: Hijacked, kind: str, seconds: float, per_s: int) -> int:
    """Send so many a second; how many were sent."""
    return await asyncio.to_thread(_flood, me, floods(me.node)[kind], seconds, per_s)


async def fill(me: Hijacked, subject: str, size: int, seconds: float, per_s: int, head: bytes = b"") -> int:
    """Store large records; how many were sent."""
    return await asyncio.to_thread(_flood, me, pub(subject, head.ljust(size, b"x")), seconds, per_s)


async def fill_with_letters(me: Hijacked, size: int, seconds: float, per_s: int) -> int:
    """Store registers of dead tasks with large values, each of which might be copied into a letter."""
    facts: dict[str, Any] = {"task": "own-x", "key": "k", "job": "j", "status": "dead"}
    data = msgspec.msgpack.encode(TaskResult(value=b"x" * size, **facts))
    slot = f"sw.squall.res.0.own-{NUMBER.decode()}"
    return await asyncio.to_thread(_flood, me, pub(slot, data), seconds, per_s)


def _flood(me: Hijacked, message: bytes, seconds: float, per_s: int) -> int:
    bare = me.raw()
    bare.settimeout(5)
    sent = 0
    begin = time.monotonic()
    chunk = max(1, min(per_s // 50, 64 * 1024 // len(message) or 1))
    numbered = NUMBER in message
    stem = f"{time.monotonic_ns() % 10**6:06d}"
    with contextlib.closing(bare), contextlib.suppress(OSError):
        while (elapsed := time.monotonic() - begin) < seconds:
            if sent > elapsed * per_s:
                time.sleep(0.005)
            elif numbered:
                burst = (message.replace(NUMBER, f"{stem}{sent + n:08d}".encode()) for n in range(chunk))
                bare.sendall(b"".join(burst))
                sent += chunk
            else:
                bare.sendall(message * chunk)
                sent += chunk
            while select.select([bare], [], [], 0)[0]:
                if not bare.recv(1 << 20):
                    return sent
    return sent


async def hold(me: Hijacked, seconds: float) -> int:
    """Take all the tasks that the pool gives, and say that they are worked on; how many were held."""
    async with me.client() as client:
        root = f"_INBOX.{me.node}.held"
        held: list[str] = []

        async def take(message: Any) -> None:
            if message.reply:
                held.append(message.reply)

        await client.subscribe(root, cb=take)
        until = time.monotonic() + seconds
        with contextlib.suppress(Exception):  # the broker may have put an end to it
            while time.monotonic() < until:
                for wanted in 8 * PULLS:
                    await client.publish(PULL, json.dumps(wanted).encode(), reply=root)
                for reply in held:
                    await client.publish(reply, b"+WPI")
                await client.flush()
                await asyncio.sleep(0.5)
        return len(held)


async def give_back(me: Hijacked, seconds: float, answer: bytes = b"-NAK") -> int:
    """Take tasks and give them back at once, again and again; how often."""
    async with me.client() as client:
        root = f"_INBOX.{me.node}.nak"
        given = 0

        async def take(message: Any) -> None:
            nonlocal given
            if message.reply:
                given += 1
                if answer:
                    await client.publish(message.reply, answer)

        await client.subscribe(root, cb=take)
        until = time.monotonic() + seconds
        with contextlib.suppress(Exception):
            while time.monotonic() < until:
                for wanted in 4 * PULLS:
                    await client.publish(PULL, json.dumps(wanted).encode(), reply=root)
                await asyncio.sleep(0.2)
        return given


async def pull_for_an_hour(me: Hijacked, pulls: int, seconds: float) -> int:
    """Keep so many pulls waiting for an hour, or as long as they are let, and acknowledge nothing; tasks."""
    async with me.client() as client:
        root = f"_INBOX.{me.node}.hour"
        came = 0

        async def take(message: Any) -> None:
            nonlocal came
            came += bool(message.reply)

        await client.subscribe(f"{root}.*", cb=take)
        until = time.monotonic() + seconds
        number = 0
        with contextlib.suppress(Exception):
            while time.monotonic() < until:
                for _ in range(pulls):
                    number += 1
                    wanted = PULLS[1 if number % 2 else 3]
                    await client.publish(PULL, json.dumps(wanted).encode(), reply=f"{root}.{number}")
                await client.flush()
                await asyncio.sleep(0.5)
        return came


async def be_silent(me: Hijacked, seconds: float) -> None:
    """Answer no task that is given; the agent itself goes on saying that they are worked on."""
    me.mood = "silent"
    await asyncio.sleep(seconds)
    me.mood = "honest"


async def connect_often(me: Hijacked, seconds: float) -> dict[str, int]:
    """Open as many connections as the broker lets in, and as many bare ones as there are descriptors."""
    me.look_around()
    host, port = me.url.removeprefix("nats://").split(":")
    let_in: list[Any] = []
    bare: list[socket.socket] = []
    async with contextlib.AsyncExitStack() as stack:
        with contextlib.suppress(Exception):
            for _ in range(12):
                let_in.append(await stack.enter_async_context(me.client(connect_timeout=2)))
        until = time.monotonic() + seconds
        opened = 0
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                bare.append(socket.create_connection((host, int(port)), timeout=1))
                opened += 1
            if len(bare) >= 400:
                for one in bare:
                    one.close()
                bare.clear()
            await asyncio.sleep(0)
        for one in bare:
            one.close()
    return {"let in": len(let_in), "bare": opened}


async def subscribe_often(me: Hijacked, subscriptions: int, seconds: float) -> int:
    """Listen to one's inbox ten thousand times, and have the broker fill it; the bytes that came."""

    def work() -> int:
        bare = me.raw()
        came = 0
        bare.sendall(
            b"".join(f"SUB _INBOX.{me.node}.> {n}\r\n".encode() for n in range(1, subscriptions + 1))
        )
        until = time.monotonic() + seconds
        ask = pub(PULL, b"{", f"_INBOX.{me.node}.zz")
        with contextlib.closing(bare), contextlib.suppress(OSError):
            while time.monotonic() < until:
                bare.sendall(ask)
                while select.select([bare], [], [], 0.01)[0]:
                    more = bare.recv(1 << 20)
                    if not more:
                        return came
                    came += len(more)
        return came

    return await asyncio.to_thread(work)
