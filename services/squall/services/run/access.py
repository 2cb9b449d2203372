"""How a swarm reaches its broker: what is the same for one of our own and for somebody else's."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from squall.bus.broker import Broker
from squall.bus.connection import Connection
from squall.bus.identity import Authority, Credentials
from squall.bus.system import Accounts


class BrokerProcess(Protocol):
    """A broker that this command has a hold on."""

    @property
    def url(self) -> str:
        """Where it listens."""
        ...

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended misses it, and is on its way back."""
        ...

    async def ended(self) -> None:
        """Wait until the process that it is now has ended."""
        ...

    async def answers(self) -> bool:
        """Whether it answers now."""
        ...

    async def seen(self, *, stopped: bool) -> bool:
        """Whether it is seen to stand still, or not to, within a moment, by another word than its own."""
        ...


@dataclass(frozen=True, kw_only=True)
class Own:
    """What comes with a broker of our own.

    Attributes:
        broker: Its process.
        authority: Says who may connect to it, and as whom.
        accounts: Has it know what the authority has changed.
        system: A connection in the system account.
    """

    broker: Broker
    authority: Authority
    accounts: Accounts
    system: Connection


async def nothing_heard(node: str) -> int | None:
    """The broker does not say."""
    return None


@dataclass(frozen=True, kw_only=True)
class Access:
    """A broker with a swarm's streams on it. Made by `own_broker` or `outside_broker`.

    Attributes:
        url: Where it listens.
        server_version: Its version, as it states it.
        observer: The command's own connection to it.
        provisioner: A connection that may make streams and consumers, and remove consumers, for a block.
        mint: What a node of this name connects with; None if it asks for nothing.
        limits: Guarantees that a swarm on it does not have, in words.
        connections: Those of the command, by the name whose credentials they use.
        process: The broker, if this command has a hold on it.
        heard: How many messages it has had on the open connections of a node; None if it does not say.
        own: What only a broker of our own has.
    """

    url: str
    server_version: str
    observer: Connection
    provisioner: Callable[[], AbstractAsyncContextManager[Connection]]
    mint: Callable[[str], Credentials | None]
    limits: tuple[str, ...] = ()
    connections: dict[str, Connection] = field(default_factory=dict)
    process: BrokerProcess | None = None
    heard: Callable[[str], Awaitable[int | None]] = nothing_heard
    own: Own | None = None
