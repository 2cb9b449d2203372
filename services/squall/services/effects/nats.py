"""``nats:SUBJECT``: a stream of the user's own as a sink. One message an effect, as the handler returned it.

Each message has the effect's key as its id (``Nats-Msg-Id``), so that the stream stores a repeat within its
window of duplicates once. It is carried out when the stream says that it is stored.
"""

from __future__ import annotations

import base64
import contextlib
import os
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

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
from squall.bus.identity import Credentials
from squall.bus.jetstream import NO_MESSAGE_FOUND, call, outcome_of
from squall.bus.tls import is_clear_text
from squall.services.credentials import given, text_of
from squall.services.effects.each import Each
from squall.services.effects.kinds import NATS
from squall.services.effects.port import Make, Opener, Sending, Ties, Way
from squall.services.errors import SpecError
from squall.services.rules.sinks import SEND_TIMEOUT_S, WAIT_S_MAX, Away, Outcome, Unknown, Wait, of_publish

SERVER = "NATS_URL"
"""The variable that names the server where a spec does not, as it does for the command ``nats``."""

PATIENCE_S = 20.0
"""How long a broker may take to answer when the gateway is started."""


def load(sending: Sending, origin: Any) -> Opener:
    """A stream that takes a subject, with what its broker knows us by.

    Raises:
        SpecError: It is not said where its broker is, or not so that it can be reached.
    """
    subject, url = sending.name.removeprefix(NATS.prefix), url_of(sending)
    credentials_of(sending, "effects")

    @contextlib.asynccontextmanager
    async def opened(way: Way) -> AsyncIterator[Make]:
        who = credentials_of(sending, way.node)
        async with connect(url, way.node, who, patience_s=PATIENCE_S) as connection:
            stream = Stream(connection, subject)

            def make(ties: Ties) -> Each:
                return Each(stream, ties, together=sending.together)

            yield make

    return opened


def url_of(sending: Sending) -> str:
    """Where the broker of a stream answers.

    Raises:
        SpecError: Nobody says so, or it is no URL for it.
    """
    url = sending.server or os.environ.get(SERVER, "")
    if not url:
        raise SpecError(
            f"it is not said where the broker of effects = {printable(sending.name, 100)!r} is",
            f"[effects] server = 'nats://127.0.0.1:4222', or the variable {SERVER}",
        )
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in ("nats", "tls") and bool(parts.hostname) and parts.port != 0
        has_secret = bool(parts.username or parts.password)
    except ValueError:
        is_fine, has_secret, parts = False, False, urlsplit("")
    if has_secret:
        raise SpecError(
            "effects: credentials do not belong in a URL, which is logged",
            "name the variable that names a credentials file: [effects] credentials = 'SINK_CREDS'",
        )
    if not is_fine or not url.isprintable():
        raise SpecError(
            f"effects: {printable(url, 100)} is no NATS URL", "for instance nats://127.0.0.1:4222"
        )
    if sending.credentials and is_clear_text(url):
        raise SpecError(
            f"effects: {printable(url, 100)} is another machine, and would be sent signatures in clear text",
            f"use tls://{parts.netloc}",
        )
    return url


def credentials_of(sending: Sending, node: str) -> Credentials | None:
    """What a stream's broker knows us by; None if it lets anybody in.

    Raises:
        SpecError: The variable is not set, or names no credentials file.
    """
    name = sending.credentials
    if not name:
        return None
    path = os.environ.get(name, "")
    if not path:
        raise SpecError(
            f"the variable {name}, which is to name the credentials of effects, is not set",
            f"set {name} to the path of a credentials file, or leave credentials out",
        )
    return given(text_of(name, path), name, path, node)


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
    async with connect(url_of(sending), "journal", credentials_of(sending, "journal")) as connection:
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
