"""Responders and agents on a broker that lets anybody in: wrong if a task's key is ``bad``, else good.

They are plain nats-py, as its documentation shows one, and speak of the agent protocol what its specification
says of the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import BadSubscriptionError, ConnectionClosedError, FlushTimeoutError
from tests.settle import settle

from squall.bus.identity import Credentials

SUBJECT = "prices.decide"
AGENT = "pricer/me/main"
PROMPT, STATUS = "agents.prompt.pricer.me.main", "agents.status.pricer.me.main"

LATE_S = 3.0
"""After how long one answers that is late."""


def good(asked: dict[str, Any]) -> bytes:
    return json.dumps({"id": asked["id"], "effects": [{"n": asked["number"]}]}).encode()


class Peer:
    """Somebody who answers, as another program would.

    Attributes:
        asked: What it was asked so far.
        asked_back: What it was answered to questions of its own.
        most: Answers that it worked on at one time.
    """

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked: list[dict[str, Any]] = []
        self.asked_back: list[Any] = []
        self.most = 0
        self._in_hand = 0

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """It works on an answer inside the block."""
        self._in_hand += 1
        self.most = max(self.most, self._in_hand)
        try:
            yield
        finally:
            self._in_hand -= 1


Reply = Callable[[Peer, dict[str, Any], Msg], Awaitable[None]]


@contextlib.asynccontextmanager
async def client(url: str, who: Credentials | None = None) -> AsyncIterator[Client]:
    client = Client()
    creds = None if who is None else RawCredentials(who.creds_file())
    await client.connect(url, user_credentials=creds, allow_reconnect=False)
    try:
        yield client
    finally:
        await client.close()


@contextlib.asynccontextmanager
async def serving(client: Client, *subscriptions: Subscription) -> AsyncIterator[None]:
    """The broker has these subscriptions inside the block, and none of them after it.

    A connection that is only closed is one that the broker hands messages to until it has seen that.
    """
    await settle(client)
    try:
        yield
    finally:
        if client.is_connected:  # its broker may have been killed
            for each in subscriptions:
                with contextlib.suppress(BadSubscriptionError):  # it has left already
                    await each.unsubscribe()
            with contextlib.suppress(FlushTimeoutError, ConnectionClosedError):
                await settle(client)


@contextlib.asynccontextmanager
async def responding(url: str, reply: Reply, who: Credentials | None = None) -> AsyncIterator[Peer]:
    """A responder on `SUBJECT`, inside the block."""
    async with client(url, who) as connected:
        peer = Peer(connected)

        async def answer(message: Msg) -> None:
            asked = json.loads(message.data)
            peer.asked.append(asked)
            if asked["key"] == "bad":
                await reply(peer, asked, message)
            else:
                await message.respond(good(asked))

        async with serving(connected, await connected.subscribe(SUBJECT, "workers", cb=side_by_side(answer))):
            yield peer


def side_by_side(answer: Callable[[Msg], Awaitable[None]]) -> Callable[[Msg], Awaitable[None]]:
    """Answers, and goes on to the next message before this one is answered."""
    running: set[asyncio.Future[None]] = set()

    async def begin(message: Msg) -> None:
        task = asyncio.ensure_future(answer(message))
        running.add(task)
        task.add_done_callback(running.discard)

    return begin


@contextlib.asynccontextmanager
async def hosting(
    url: str, reply: Reply, who: Credentials | None = None, *, version: str = "0.3", instance: str = "I1"
) -> AsyncIterator[Peer]:
    """An agent of the protocol, inside the block."""
    async with client(url, who) as connected:
        peer = Peer(connected)

        async def info(message: Msg) -> None:
            endpoints = [
                {"name": "prompt", "subject": PROMPT, "queue_group": "agents", "metadata": {}},
                {"name": "status", "subject": STATUS, "queue_group": "agents"},
            ]
            about = {"agent": "pricer", "owner": "me", "session": "main", "protocol_version": version}
            said = {
                "name": "agents",
                "id": instance,
                "version": "1.0.0",
                "metadata": about,
                "endpoints": endpoints,
                "type": "io.nats.micro.v1.info_response",
            }
            await message.respond(json.dumps(said).encode())

        async def status(message: Msg) -> None:
            await message.respond(json.dumps({"agent": "pricer", "instance_id": instance}).encode())

        async def prompted(message: Msg) -> None:
            told = json.loads(message.data)
            peer.asked.append(told)
            asked = told["squall"]
            await message.respond(chunk("status", "ack"))
            with peer.working():
                if asked["key"] == "bad":
                    await reply(peer, asked, message)
                else:
                    await whole(peer, asked, message)

        async with serving(
            connected,
            await connected.subscribe("$SRV.INFO.agents", cb=info),
            await connected.subscribe(STATUS, "agents", cb=status),
            await connected.subscribe(PROMPT, "agents", cb=side_by_side(prompted)),
        ):
            yield peer


def chunk(kind: str, data: Any) -> bytes:
    return json.dumps({"type": kind, "data": data}).encode()


async def whole(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    """In three parts, of which one is an object, with something from a newer protocol between them."""
    text = good(asked).decode()
    await message.respond(chunk("response", text[:10]))
    await message.respond(chunk("progress", {"of": 3}))
    await message.respond(chunk("response", {"text": text[10:20], "attachments": []}))
    await message.respond(chunk("response", text[20:]))
    await message.respond(b"")


async def silent(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    await asyncio.Event().wait()
