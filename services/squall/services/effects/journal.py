"""The journal of a sink that is somebody else's, kept in a run's directory as the venue's books are.

    file, URL or stream ─► rows ─► venue.sqlite ─► judged like the venue

A row is a line of JSON, one for each request that the sink received, in their order:

    {"order_id": "<the Idempotency-Key>", "time_s": 1795825248.5, "outcome": "filled", "body": {…}}

``outcome`` is ``filled``, ``duplicate`` (it was done before) or ``rejected`` (with a ``reason``); one that is
missing says that nothing was done. ``time_s`` is when it was received, in seconds since the epoch.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from squall.bus.border import printable
from squall.bus.errors import BusError
from squall.services import jsonl
from squall.services.effects.kinds import NATS, kind_of
from squall.services.effects.port import Sending
from squall.services.errors import SpecError
from squall.services.trading.books import SCHEMA
from squall.services.trading.orders import Order, read_order

THE_STREAM = "stream"
"""What a spec calls the journal that a stream is itself."""

BATCH = 1000
"""Rows that are written together."""

ID_LENGTH_MAX = 280
REASON_LENGTH_MAX = 300

FETCH_S = 120.0
"""How long a journal may take to be read."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One request as a sink received it."""

    order_id: str
    time_s: Annotated[float, Meta(ge=0, le=1e11)]
    outcome: Literal["filled", "duplicate", "rejected", ""] = ""
    reason: str = ""
    body: msgspec.Raw = msgspec.Raw(b"null")


_row = msgspec.json.Decoder(Row)


class JournalError(Exception):
    """It cannot be read; the words say why."""


async def keep(sending: Sending, path: Path) -> int:
    """Read a sink's journal to its end, and write a database like the venue's of it; how many rows it has.

    Raises:
        JournalError: It cannot be read, or is none. Then there is no database.
    """
    cause: Exception
    try:
        async with asyncio.timeout(FETCH_S):
            return await _keep(sending, path)
    except TimeoutError as error:
        why, cause = f"it could not be read within {FETCH_S:g} s", error
    except (OSError, ValueError, RecursionError, BusError, SpecError, sqlite3.Error) as error:
        why, cause = printable(str(error) or type(error).__name__), error
    _remove(path)
    raise JournalError(why) from cause


def _remove(path: Path) -> None:
    for end in ("", "-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)


async def _keep(sending: Sending, path: Path) -> int:
    written = 0
    with _books(path) as books:
        batch: list[Row] = []
        async with contextlib.aclosing(_rows(sending)) as rows:
            async for row in rows:
                batch.append(row)
                if len(batch) == BATCH:
                    _write(books, batch)
                    written += len(batch)
                    batch.clear()
        _write(books, batch)
    return written + len(batch)


async def _rows(sending: Sending) -> AsyncGenerator[Row, None]:
    """Its rows, one after the other."""
    if sending.journal == THE_STREAM and kind_of(sending.name) is NATS:
        from squall.services.effects import nats  # which nobody else needs

        async for key, time_s, body in nats.stored(sending):
            is_json = not why_none(body)
            yield Row(
                order_id=key,
                time_s=time_s,
                outcome="filled",
                body=msgspec.Raw(body if is_json else b"null"),
            )
        return
    if sending.journal.startswith(("http:", "https:")):
        from squall.services.effects import http

        text = http.lines(sending)
    else:
        text = _lines(Path(sending.journal))
    number = 0
    async for line in text:
        number += 1
        if line.strip():
            try:
                yield jsonl.decode(_row, line)
            except msgspec.DecodeError as error:
                raise ValueError(f"its line {number} is no row of a journal: {error}") from error


def why_none(body: bytes) -> str:
    """Why a body is no JSON; empty if it is."""
    try:
        msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        return str(error)
    return ""


async def _lines(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        for line in jsonl.lines(file):
            if line is None:
                raise ValueError("a line of it is too long")
            yield line


@contextlib.contextmanager
def _books(path: Path) -> Iterator[sqlite3.Connection]:
    path.touch(mode=0o600)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as books:
        books.executescript(SCHEMA)
        yield books
        # One file, so that whoever copies the directory has all of it.
        books.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write(books: sqlite3.Connection, rows: list[Row]) -> None:
    books.execute("BEGIN")
    for row in rows:
        body = bytes(row.body)
        order_id = printable(row.order_id, ID_LENGTH_MAX)
        columns = _columns(read_order(body))
        text = body.decode(errors="replace")
        books.execute(
            "INSERT INTO journal (time_s, order_id, account, symbol, n, side, quantity, price, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (row.time_s, order_id, *columns, text),
        )
        if row.outcome == "filled":
            fill = (order_id, *columns, row.time_s)
            books.execute("INSERT INTO fills VALUES (?, ?, ?, ?, ?, ?, ?, ?)", fill)
        elif row.outcome == "rejected":
            reason = printable(row.reason, REASON_LENGTH_MAX) or "the sink gave no reason"
            books.execute("INSERT OR IGNORE INTO refusals VALUES (?, ?, ?)", (order_id, row.time_s, reason))
    books.execute("COMMIT")


def _columns(order: Order | str) -> tuple[object, ...]:
    """The columns of an effect; of one that is no order, those of an order of nothing."""
    if isinstance(order, str):
        return ("", "", 0, "", 0, 0.0)
    return (order.account, order.symbol, order.n, order.side, order.quantity, order.price)
