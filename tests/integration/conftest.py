"""A real broker with a hierarchical swarm's streams and identities, on a free port."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from squall.bus.broker import Broker, jetstream_probe
from squall.bus.connection import Connection, connect
from squall.bus.guard import Guard
from squall.bus.identity import Authority
from squall.bus.subjects import Subjects
from squall.services.patterns import hierarchical
from squall.services.spec import Spec


@dataclass
class Bus:
    """A broker, who may connect to it, and what is on it."""

    spec: Spec
    swarm: Subjects
    broker: Broker
    authority: Authority

    def connect(self, node: str, life_s: float | None = None) -> AbstractAsyncContextManager[Connection]:
        return connect(self.broker.url, node, self.authority.credentials(node, life_s))


BusMaker = Callable[..., AbstractAsyncContextManager[Bus]]


@pytest.fixture
def bus(tmp_path: Path) -> BusMaker:
    """``async with bus(ack_wait_s=1.0) as b``: a broker with that spec's streams."""

    @contextlib.asynccontextmanager
    async def running(**changes: Any) -> AsyncIterator[Bus]:
        spec = Spec(**changes)
        authority = Authority.create(hierarchical.topology(spec))
        async with (
            Guard() as guard,
            Broker.running(
                tmp_path / "broker",
                authority.server_config(tmp_path / "broker" / "jwt"),
                guard=guard,
                log=tmp_path / "broker.log",
                probe=jetstream_probe(lambda: authority.credentials("launcher", 60)),
            ) as broker,
        ):
            async with connect(broker.url, "launcher", authority.credentials("launcher", 60)) as launcher:
                await hierarchical.provision(launcher, spec)
            yield Bus(spec, Subjects(spec.swarm), broker, authority)

    return running
