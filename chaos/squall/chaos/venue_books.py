"""Reads the books that the venue kept of a run: every request as received, and what was filled."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from squall.chaos.evidence import Venue


class UnreadableError(Exception):
    """There is no reading them; the words say why."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as the venue journaled it; ``is_order`` when it could be read as one."""

    time_s: float
    order_id: str
    is_order: bool
    body: str


def witnessed(path: Path) -> Venue:
    """What the venue witnessed.

    Raises:
        UnreadableError: The database cannot be read.
    """
    with _opened(path) as database:
        return _witnessed(database)


def orders(
    path: Path, prefix: str, wanted: Callable[[str], bool]
) -> tuple[tuple[Received, ...], tuple[tuple[str, float], ...]]:
    """The requests, and the ids and times of fills, of the orders that are wanted and whose ids begin so.

    Raises:
        UnreadableError: The database cannot be read.
    """
    begins = "FROM {} WHERE substr(order_id, 1, length(?1)) = ?1 ORDER BY time_s, rowid"
    journal = "SELECT time_s, order_id, account IS NOT NULL, body " + begins.format("journal")
    fills = "SELECT order_id, time_s " + begins.format("fills")
    with _opened(path) as database:
        received = tuple(
            Received(time_s, order_id, bool(is_order), body)
            for time_s, order_id, is_order, body in database.execute(journal, (prefix,))
            if wanted(order_id)
        )
        return received, tuple(row for row in database.execute(fills, (prefix,)) if wanted(row[0]))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with contextlib.closing(_open(path)) as database:
            yield database
    except (sqlite3.Error, OSError) as error:
        raise UnreadableError(f"{path.name} cannot be read: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    """Open a database for reading.

    A venue that was killed leaves a write-ahead log, which only an ordinary reader takes into account; one
    that ended leaves none, and then nothing beside the file is made or needed.
    """
    log = path.with_name(path.name + "-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)


def _witnessed(database: sqlite3.Connection) -> Venue:
    fills: dict[str, list[float]] = {}
    for order_id, time_s in database.execute("SELECT order_id, time_s FROM fills ORDER BY time_s"):
        fills.setdefault(order_id, []).append(time_s)
    received, highest, invalid = database.execute(
        "SELECT COUNT(*), COALESCE(MAX(seq), 0), COUNT(*) - COUNT(account) FROM journal"
    ).fetchone()
    (unheard,) = database.execute(
        "SELECT COUNT(DISTINCT order_id) FROM fills"
        " WHERE order_id NOT IN (SELECT order_id FROM journal WHERE order_id IS NOT NULL)"
    ).fetchone()
    conflicting = database.execute(
        "SELECT order_id FROM journal WHERE order_id IS NOT NULL"
        " GROUP BY order_id HAVING COUNT(DISTINCT body) > 1 ORDER BY MIN(seq)"
    ).fetchall()
    return Venue(
        fills={order_id: tuple(times) for order_id, times in fills.items()},
        received=received,
        invalid=invalid,
        conflicting=tuple(order_id for (order_id,) in conflicting),
        missing=highest - received + unheard,
        ledger=tuple(database.execute("SELECT * FROM ledger ORDER BY order_id")),
    )
