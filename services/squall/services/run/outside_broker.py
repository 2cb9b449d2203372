"""Somebody else's broker: one given credential, or none, serves all nodes."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator

from squall.bus.connection import Connection, connect
from squall.bus.errors import RejectedError, RequestError
from squall.bus.identity import Credentials
from squall.bus.jetstream import call
from squall.bus.tls import IN_CLEAR_TEXT, is_clear_text
from squall.services.credentials import given, text_of
from squall.services.errors import SpecError
from squall.services.patterns import pattern_of
from squall.services.run.access import Access
from squall.services.run.spec import Spec

CREDENTIALS_ENV = "NATS_CREDS"
"""Names a credentials file for an outside broker."""

NO_PERMISSIONS = (
    "permissions by topology: the broker's operator keys are not ours, so every node has the same rights, "
    "a killed agent's credentials stay good, and an agent that holds the pool cannot be put out"
)

UNSEEN = (
    "what the broker saw: its log and its statistics are not ours to read, so when it was slow, and whether "
    "it heard of a node that was cut off, is not on record"
)


@contextlib.asynccontextmanager
async def outside_broker(spec: Spec, url: str) -> AsyncIterator[Access]:
    """An outside broker with the streams of a swarm, which are removed after the block.

    Raises:
        SpecError: It cannot be used.
        BusError: It does not answer, or not let us in.
    """
    path = os.environ.get(CREDENTIALS_ENV, "")
    text = text_of(CREDENTIALS_ENV, path) if path else ""

    def mint(node: str) -> Credentials | None:
        return given(text, CREDENTIALS_ENV, path, node) if path else None

    limits = (NO_PERMISSIONS, UNSEEN, *((IN_CLEAR_TEXT,) if is_clear_text(url) else ()))
    async with connect(url, "observer", mint("observer")) as observer:
        version = observer.server_version
        if tuple(map(int, re.findall(r"\d+", version)[:2])) < (2, 12):
            raise SpecError(
                f"the broker at {url} is nats-server {version}, which has no atomic batches",
                "use nats-server 2.12 or newer",
            )
        try:
            await _provision(observer, spec, url)
            yield Access(
                url=url,
                server_version=version,
                observer=observer,
                provisioner=lambda: contextlib.nullcontext(observer),
                mint=mint,
                limits=limits,
                connections={"observer": observer},
            )
        finally:
            await _remove_streams(observer, spec)


async def _provision(observer: Connection, spec: Spec, url: str) -> None:
    try:
        await pattern_of(spec).provision(observer, spec)
    except RejectedError as error:
        raise SpecError(
            f"the broker at {url} does not let the swarm make its streams: {error}",
            "enable JetStream for the account, or raise its limits",
        ) from error
    except RequestError as error:
        raise SpecError(f"the broker at {url} has no JetStream: {error}", "enable it") from error


async def _remove_streams(observer: Connection, spec: Spec) -> None:
    for config in reversed(pattern_of(spec).streams(spec)):
        with contextlib.suppress(RequestError):
            await call(observer, "STREAM", "DELETE", config["name"])
