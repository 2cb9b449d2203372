"""A connection to a broker of the user's own that a handler opens when it is first used, and keeps.

first attempt ──► opens ──► kept, through all its links ──► ended, with the handler
                    └─ nobody there, or not let in: the next attempt opens again
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from squall.bus.connection import Connection, connect
from squall.bus.ended import Failed, NotThere
from squall.bus.errors import (
    AuthorizationError,
    BusError,
    ConnectionLostError,
    ForbiddenError,
    MessageTooLargeError,
    NoRespondersError,
    NotConnectedError,
)
from squall.services.errors import SpecError
from squall.services.handlers import answers
from squall.services.handlers.port import Handling, Host
from squall.services.users_broker import UsersBroker, is_subject

NODE = "handler"
"""What the broker is told that this is."""

CLOSE_S = 5.0
"""How long the connection may take to end; then it is torn down."""


Way = Callable[[Host], "Reaching"]
"""Makes what reaches a handler, of what its agent has."""


def way_to(handling: Handling) -> Way:
    """The way to where a handler is reached, with what could not work found.

    Raises:
        SpecError: It could not.
    """
    if handling.guest:
        return lambda host: Beside(host)
    broker = broker_of(handling)
    return lambda host: Reached(broker)


def broker_of(handling: Handling) -> UsersBroker:
    """The broker where a handler is reached, with what could not work found.

    Raises:
        SpecError: It could not.
    """
    broker = UsersBroker(
        table="handler",
        whose=f"the handler {handling.name}",
        server=handling.server,
        variable=handling.credentials,
    )
    broker.url()
    broker.credentials(NODE)
    return broker


def subject_of(name: str, prefix: str, example: str) -> str:
    """The subject, or what is as strict, that the name of a handler ends with.

    Raises:
        SpecError: There is none.
    """
    subject = name.removeprefix(prefix)
    if not is_subject(subject):
        raise SpecError(f"the handler {name!r} names no subject", f"for instance {example}")
    return subject


class Reaching(Protocol):
    """What reaches a handler."""

    async def connection(self) -> Connection:
        """The connection to it; raises as `Reached.connection` does."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


class Beside:
    """The swarm's own broker, where a guest is asked over the agent's own connection."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def connection(self) -> Connection:
        """The agent's."""
        if self._host.connection is None:
            raise NotConnectedError("guest", "a guest is asked by an agent of the swarm, and by nobody else")
        return self._host.connection

    async def close(self) -> None:
        """It goes on: it is the agent's."""


class Reached:
    """A broker, as a handler reaches it."""

    def __init__(self, broker: UsersBroker) -> None:
        self._broker = broker
        self._end = asyncio.Event()
        self._opened: asyncio.Future[Connection] | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def connection(self) -> Connection:
        """The connection, which may be between two links.

        Raises:
            NotConnectedError: Nobody answers.
            AuthorizationError: Somebody does, and does not let us in.
        """
        if self._opened is None or self._keeping is None or self._keeping.done():
            self._opened = asyncio.get_running_loop().create_future()
            self._keeping = asyncio.create_task(self._keep(self._opened))
        return await asyncio.shield(self._opened)

    async def _keep(self, opened: asyncio.Future[Connection]) -> None:
        try:
            broker = self._broker
            async with connect(broker.url(), NODE, broker.credentials(NODE)) as connection:
                opened.set_result(connection)
                await self._end.wait()
        except (BusError, SpecError) as error:
            # Whoever waits is told; and once it was open, whoever asks next finds it ended.
            if not opened.done():
                opened.set_exception(error)
                opened.exception()  # seen, also where nobody waits any more
        finally:
            opened.cancel()

    async def close(self) -> None:
        """End it, with whatever is under way."""
        self._end.set()
        if self._keeping is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await asyncio.wait({self._keeping})
            self._keeping.cancel()
            await asyncio.wait({self._keeping})


def failed(error: BusError | SpecError, subject: str, timeout_s: float) -> Failed | NotThere:
    """What it means for an attempt that its question came to no answer."""
    if isinstance(error, ConnectionLostError):
        return answers.mistake(
            "broke", f"was asked, and the connection was lost before it had answered: {error}"
        )
    if isinstance(error, NoRespondersError):
        return NotThere(f"nobody answers on {subject}")
    if isinstance(error, MessageTooLargeError):
        return answers.mistake("answered", f"cannot be asked: {error}", final=True)
    if isinstance(error, NotConnectedError | AuthorizationError | ForbiddenError | SpecError):
        return NotThere(str(error))
    return answers.late(timeout_s)


def health(ended: object) -> str:
    """What is wrong with a handler, by what its last attempt came to."""
    return f"it is not there: {ended.reason}" if isinstance(ended, NotThere) else ""
