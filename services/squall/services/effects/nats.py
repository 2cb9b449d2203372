"""``nats:SUBJECT``: a stream of the user's own as a sink. One message an effect, as the handler returned it.

Each message has the effect's key as its id (``Nats-Msg-Id``), so that the stream stores a repeat within its
window of duplicates once. It is carried out when the stream says that it is stored.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from squall.bus import log as bus_log
from squall.bus.border import printable
from squall.bus.connection import Connection, connect
from squall.bus.errors import (
    ForbiddenError,
    NoRespondersError,
    NotConnectedError,
    RejectedError,
    RequestError,
)
from squall.bus.jetstream import NO_MESSAGE_FOUND, call, outcome_of
from squall.services.effects.each import Each, OneByOne
from squall.services.effects.kinds import NATS
from squall.services.effects.port import Make, Opener, Sending, Ties, Way
from squall.services.rules.sinks import SEND_TIMEOUT_S, WAIT_S_MAX, Away, Outcome, Unknown, Wait, of_publish
from squall.services.users_broker import UsersBroker

PATIENCE_S = 20.0
"""How long a broker may take to answer when the gateway is started."""


def load(sending: Sending, origin: Any) -> Opener:
    """A stream that takes a subject, with what its broker knows us by.

    Raises:
        SpecError: It is not said where its broker is, or not so that it can be reached.
    """
    subject, broker = sending.name.removeprefix(NATS.prefix), broker_of(sending)
    url = broker.url()
    broker.credentials("effects")

    @contextlib.asynccontextmanager
    async def opened(way: Way) -> AsyncIterator[Make]:
        who = broker.credentials(way.node)
        async with connect(url, way.node, who, patience_s=PATIENCE_S) as connection:
            stream = Stream(connection, subject)

            def make(ties: Ties) -> Each:
                return Each(OneByOne(stream), ties, together=sending.together)

            yield make

    return opened


def broker_of(sending: Sending) -> UsersBroker:
    """Where the stream of a sink is."""
    return UsersBroker(
        table="effects",
        whose=f"effects = {printable(sending.name, 100)!r}",
        server=sending.server,
        variable=sending.credentials,
    )


class Stream:
    """A stream that carries effects out."""

    def __init__(self, connection: Connection, subject: str) -> None:
        self._connection = connection
        self._subject = subject

    async def send(self, key: str, body: bytes) -> Outcome:
        """See `Sink`."""
        try:
            answer = await self._connection.request(
                self._subject, body, timeout_s=SEND_TIMEOUT_S, headers={"Nats-Msg-Id": key}
            )
        except NoRespondersError:
            return Away(f"no stream takes {self._subject}")
        except NotConnectedError as error:
            return Away(str(error))
        except ForbiddenError as error:
            return Wait(WAIT_S_MAX, str(error))
        except RequestError as error:
            return Unknown(str(error))
        stored = outcome_of(answer.data)
        return of_publish(stored.kind, stored.code, stored.reason)


async def stored(sending: Sending) -> AsyncIterator[tuple[str, float, bytes]]:
    """What the stream holds under the subject: of each message its id, when it was stored, and its body.

    Raises:
        SpecError, BusError: It cannot be read.
    """
    subject = sending.name.removeprefix(NATS.prefix)
    broker = broker_of(sending)
    async with connect(broker.url(), "journal", broker.credentials("journal")) as connection:
        names = await call(connection, "STREAM", "NAMES", request={"subject": subject})
        for stream in names.get("streams") or ():
            place = 0
            while True:
                wanted = {"seq": place + 1, "next_by_subj": subject}
                try:
                    found = await call(connection, "STREAM", "MSG", "GET", stream, request=wanted)
                except RejectedError as error:
                    if error.code != NO_MESSAGE_FOUND:
                        raise
                    break
                message = found["message"]
                place = int(message["seq"])
                key = _id_in(base64.b64decode(message.get("hdrs") or ""))
                yield key, bus_log.seconds(message["time"]), base64.b64decode(message.get("data") or "")


def _id_in(headers: bytes) -> str:
    """The id of a message, by its headers as they travel; empty if it has none."""
    for line in headers.decode(errors="replace").split("\r\n"):
        name, _, value = line.partition(":")
        if name.strip().lower() == "nats-msg-id":
            return value.strip()
    return ""
