"""``nats:SUBJECT`` as where tasks come from: a subject on a broker of the user's, and who carries it there.

    a stream takes it ──► a durable consumer of the stream's: each message is acknowledged by itself
    none does ──────────► a plain subscription: at most once

What a message is asked for, and what becomes of it, is in `roles/taking.py`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from squall.bus.border import printable
from squall.bus.connection import Connection, connect
from squall.bus.errors import (
    AuthorizationError,
    ForbiddenError,
    NoRespondersError,
    NotConnectedError,
    RejectedError,
    RequestError,
)
from squall.bus.jetstream import call, create_consumer
from squall.bus.subjects import acks, next_message
from squall.services.errors import SpecError
from squall.services.kind import NAME_LENGTH_MAX, check_variables
from squall.services.users_broker import UsersBroker, is_subject

PREFIX = "nats:"
EXAMPLE = "nats:orders.new"

NODE = "tasks"
"""What the user's broker is told that this is."""

FIELDS = ("server", "credentials", "consumer", "seconds")
"""What ``[tasks]`` may say that only a subject has a use for."""

CONSUMER = re.compile(r"[A-Za-z0-9_-]{1,64}")

ACK_WAIT_S = 30.0
"""Silence after which the stream delivers a message again. Higher keeps what a killed producer held
from others for longer; lower has a producer that is held up be given twice what it has."""

NO_JETSTREAM = (10039, 10076)
"""Error codes of an account, or of a server, without JetStream."""


class NoStreamError(Exception):
    """The stream that carried a subject is not there any more."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """A subject as a spec names it.

    Attributes:
        name: As ``tasks`` has it, with its prefix.
        server: Where its broker answers; empty for what the variable `users_broker.SERVER` says.
        credentials: The name of the variable that names a credentials file for it.
        consumer: What the durable consumer of its stream is called; empty for a name made of the subject.
    """

    name: str
    server: str = ""
    credentials: str = ""
    consumer: str = ""

    @property
    def subject(self) -> str:
        return self.name.removeprefix(PREFIX)

    @property
    def durable(self) -> str:
        """The consumer's name, the same in each run: it knows what was taken."""
        if self.consumer:
            return self.consumer
        readable = re.sub(r"[^A-Za-z0-9]+", "-", self.subject)[:32].strip("-")
        return f"squall-{readable}-{hashlib.blake2b(self.subject.encode(), digest_size=4).hexdigest()}"

    @property
    def broker(self) -> UsersBroker:
        return UsersBroker(
            table="tasks",
            whose=f"tasks = {printable(self.name, NAME_LENGTH_MAX)!r}",
            server=self.server,
            variable=self.credentials,
        )


def comes_in(tasks_from: str) -> bool:
    """Whether tasks come in on a subject, while the swarm runs, and are not read before it."""
    return tasks_from.startswith(PREFIX)


def check(source: Source, said: Collection[str]) -> None:
    """See that where tasks come from could be found, and is told nothing that is of no use to it.

    Args:
        said: The fields of ``[tasks]`` that are not as they are by themselves.

    Raises:
        SpecError: It is not.
    """
    shown = f"tasks = {printable(source.name, NAME_LENGTH_MAX)!r}"
    if not comes_in(source.name):
        if said:
            raise SpecError(
                f"{sorted(said)[0]} is of no use to {shown}, which is read to its end",
                f"leave it out; it is for a subject, as in tasks = {EXAMPLE!r}",
            )
        return
    if not is_subject(source.subject):
        wild = " without wildcards" if {"*", ">"} & {*source.subject.split(".")} else ""
        raise SpecError(f"{shown} names no subject{wild}", f"for instance {EXAMPLE}")
    if source.consumer and not CONSUMER.fullmatch(source.consumer):
        raise SpecError(
            f"{printable(source.consumer, NAME_LENGTH_MAX)!r} cannot be the name of the consumer of {shown}",
            "use up to 64 letters, digits, hyphens and underscores",
        )
    check_variables(shown, filter(None, (source.credentials,)))
    if source.server:
        source.broker.url()


class Carried(NamedTuple):
    """How messages on a subject are had.

    Attributes:
        stream: The stream that takes it; empty where none does.
    """

    stream: str

    def limits(self, source: Source) -> list[str]:
        """What does not hold for the way from there to here, in words."""
        if self.stream:
            return []
        shown = printable(source.name, NAME_LENGTH_MAX)
        return [
            f"every task that is published: no stream takes {shown}, so what comes while nobody listens, "
            "or while the connection is lost, or faster than it is taken, is no task"
        ]


async def look(source: Source) -> Carried:
    """See that tasks can be taken from a subject, and leave its consumer there, from which they are.

    Raises:
        SpecError: They cannot.
    """
    broker, shown = source.broker, printable(source.name, NAME_LENGTH_MAX)
    url = broker.url()
    try:
        async with connect(url, NODE, broker.credentials(NODE)) as connection:
            carried = await found(connection, source)
            if carried.stream:
                await provide(connection, carried.stream, source)
                # Neither asks for anything: the broker says whether it would let us.
                await connection.publish(
                    next_message(carried.stream, source.durable), b"{", reply=f"{connection.private_inbox}.no"
                )
                await connection.publish(f"{acks(carried.stream, source.durable)}1.0.0.0.0", b"+WPI")
            else:
                stop = await connection.subscribe(source.subject, lambda message: None)
                await stop()
            return carried
    except AuthorizationError as error:
        raise SpecError(
            f"the broker of tasks = {shown!r} does not let us in: {error}",
            "name the variable that names a credentials file: [tasks] credentials = 'TASKS_CREDS'",
        ) from error
    except ForbiddenError as error:
        raise SpecError(
            f"tasks cannot be taken from {shown}: {error}",
            f"grant the rights that the README names, to the consumer {source.durable}",
        ) from error
    except NotConnectedError as error:
        raise SpecError(
            f"tasks cannot be taken from {shown}: {error}",
            "start that broker, or say where it is: [tasks] server = 'nats://host:4222'",
        ) from error
    except RejectedError as error:
        raise SpecError(
            f"tasks cannot be taken from {shown}: {error}",
            f"see what consumers that stream has; another than {source.durable} is [tasks] consumer = 'mine'",
        ) from error
    except RequestError as error:
        raise SpecError(
            f"tasks cannot be taken from {shown}: {error}", "see whether that broker is well"
        ) from error


async def found(connection: Connection, source: Source) -> Carried:
    """Who carries a subject.

    Raises:
        RequestError: The broker does not say.
    """
    try:
        names = await call(connection, "STREAM", "NAMES", request={"subject": source.subject})
    except NoRespondersError:
        return Carried("")
    except RejectedError as error:
        if error.code in NO_JETSTREAM:
            return Carried("")
        raise
    return Carried(next(iter(names.get("streams") or ()), ""))


async def provide(connection: Connection, stream: str, source: Source) -> None:
    """Make the consumer, or find it there. One that was there goes on where it was.

    Raises:
        RejectedError: There is another of its name, or the stream has no room for it.
        RequestError: The broker does not answer.
    """
    config = {
        "durable_name": source.durable,
        "filter_subject": source.subject,
        "ack_policy": "explicit",
        "ack_wait": int(ACK_WAIT_S * 1e9),
    }
    await create_consumer(connection, stream, source.durable, config)
