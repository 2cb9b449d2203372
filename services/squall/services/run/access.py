"""How a swarm reaches its broker: what is the same for one of our own and for somebody else's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field

from squall.bus.broker import Broker
from squall.bus.connection import Connection
from squall.bus.identity import Authority, Credentials
from squall.bus.system import Accounts


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
        own: What only a broker of our own has.
    """

    url: str
    server_version: str
    observer: Connection
    provisioner: Callable[[], AbstractAsyncContextManager[Connection]]
    mint: Callable[[str], Credentials | None]
    limits: tuple[str, ...] = ()
    connections: dict[str, Connection] = field(default_factory=dict)
    own: Own | None = None
