"""A broker of its own with streams, and peers who have credentials for it."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from nats.aio.client import Client, RawCredentials
from tests.settle import settle

from squall.bus import subjects
from squall.bus.broker import Broker, jetstream_probe
from squall.bus.guard import Guard
from squall.bus.identity import Authority, Credentials
from squall.bus.subjects import GATEWAY, POOL, Subjects
from squall.bus.topology.hierarchical import hierarchical
from squall.bus.topology.model import Topology

SWARM = Subjects("demo")
TOPOLOGY = hierarchical("demo", agents=2)


@contextlib.asynccontextmanager
async def running(
    state: Path,
    *,
    topology: Topology = TOPOLOGY,
    extra: str = "",
    on_start: Callable[[int, int], None] | None = None,
) -> AsyncIterator[tuple[Broker, Authority]]:
    authority = Authority.create(topology)
    async with (
        Guard() as guard,
        Broker.running(
            state,
            lambda: authority.server_config(state / "jwt") + extra,
            guard=guard,
            log=state / "log",
            probe=jetstream_probe(lambda: authority.credentials("launcher", 60.0)),
            on_start=on_start,
        ) as broker,
    ):
        yield broker, authority


class Peer:
    """A plain nats-py client, and what the broker told it."""

    def __init__(self, credentials: Credentials) -> None:
        self.client = Client()
        self.inbox = credentials.inbox
        self.errors: list[str] = []

    async def _on_error(self, error: Exception) -> None:
        self.errors.append(str(error))

    async def settled(self) -> list[str]:
        """What the broker complained of so far."""
        await settle(self.client)
        return self.errors

    async def ask(self, subject: str, content: object = None, headers: dict[str, str] | None = None) -> Any:
        data = b"" if content is None else json.dumps(content).encode()
        return json.loads((await self.client.request(subject, data, timeout=5, headers=headers)).data)


@contextlib.asynccontextmanager
async def connected(url: str, credentials: Credentials) -> AsyncIterator[Peer]:
    peer = Peer(credentials)
    try:
        await peer.client.connect(
            url,
            user_credentials=RawCredentials(credentials.creds_file()),
            inbox_prefix=credentials.inbox,
            allow_reconnect=False,
            error_cb=peer._on_error,
        )
        yield peer
    finally:
        await peer.client.close()


async def create_streams(launcher: Peer) -> None:
    """The streams and durable consumers of a hierarchical swarm, as its launcher makes them."""
    limits = {"storage": "file", "num_replicas": 1, "max_bytes": 1 << 24}
    source, destination = SWARM.work_transform
    streams: list[dict[str, Any]] = [
        {"name": "IN", "subjects": [SWARM.ingress]},
        {"name": "JOB", "subjects": [SWARM.jobs]},
        {
            "name": "WK",
            "retention": "workqueue",
            "sources": [
                {
                    "name": SWARM.stream("JOB"),
                    "subject_transforms": [{"src": source, "dest": destination}],
                }
            ],
        },
        {
            "name": "RES",
            "subjects": [SWARM.registers],
            "max_msgs_per_subject": 1,
            "discard": "new",
            "discard_new_per_subject": True,
        },
    ]
    for stream in streams:
        name = SWARM.stream(stream["name"])
        answer = await launcher.ask(
            subjects.api("STREAM", "CREATE", name), {**limits, **stream, "name": name}
        )
        assert "error" not in answer, answer
    for plane, consumer in (("WK", POOL), ("RES", GATEWAY)):
        stream_name = SWARM.stream(plane)
        answer = await launcher.ask(
            subjects.api("CONSUMER", "CREATE", stream_name, consumer),
            {
                "stream_name": stream_name,
                "action": "create",
                "config": {"durable_name": consumer, "name": consumer, "ack_policy": "explicit"},
            },
        )
        assert "error" not in answer, answer


async def stored(launcher: Peer, plane: str) -> int:
    answer = await launcher.ask(subjects.api("STREAM", "INFO", SWARM.stream(plane)))
    return int(answer["state"]["messages"])


def listens(url: str) -> bool:
    host, port = url.removeprefix("nats://").split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0):
        return True
    return False


def executable(path: Path, script: str) -> Path:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return path


@contextlib.asynccontextmanager
async def outside(folder: Path, config: str = "") -> AsyncIterator[Broker]:
    """A broker of somebody else's, which lets anybody in unless its configuration says otherwise."""

    async def listens(url: str) -> None:
        """That it listens is enough; the credentials are another test's matter."""

    async with (
        Guard() as guard,
        Broker.running(folder, lambda: config, guard=guard, log=folder / "log", probe=listens) as broker,
    ):
        yield broker
