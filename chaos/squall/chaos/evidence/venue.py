"""Reads the books that the venue kept of a run: every request as received, what was filled, what was refused.

The database may be anybody's: ``squall check`` is run on directories from elsewhere. So only tables are
read, never a view, a trigger or anything computed; within a time, a bound on each value, and no more
rows and text than the file has bytes for. What does not fit is not a database of a venue.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from squall.bus.border import printable
from squall.chaos.evidence.model import Venue

READ_S = 30.0
READ_S_PER_BYTE = 1e-6
"""How long reading may take, and what each byte of the file adds to that."""

VALUE_BYTES_MAX = 16 * 1024 * 1024
"""Of one row: the largest request that the venue takes, had each byte to be replaced by a longer one."""

ROW_BYTES_MIN = 8
"""What a row takes in the file at least."""

TABLES = ("journal", "fills", "refusals")
FUNCTIONS = {"count", "max", "min", "coalesce", "substr", "length"}


class UnreadableError(Exception):
    """There is no reading them; the words say why."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request as the venue journaled it; ``is_order`` when it could be read as one."""

    time_s: float
    order_id: str
    is_order: bool
    body: str


@dataclass(frozen=True, slots=True)
class Orders:
    """What the books tell of some orders: requests, times of fills, reasons of refusals; in order of time."""

    received: tuple[Received, ...] = ()
    filled: tuple[tuple[str, float], ...] = ()
    refused: tuple[tuple[str, str], ...] = ()


def witnessed(path: Path) -> Venue:
    """What the venue witnessed.

    Raises:
        UnreadableError: The database cannot be read, or is none of a venue.
    """
    with _opened(path) as books:
        return books.witnessed()


def orders(path: Path, prefix: str, wanted: Callable[[str], bool]) -> Orders:
    """What it wrote down of the orders that are wanted and whose ids begin so.

    Raises:
        UnreadableError: The database cannot be read, or is none of a venue.
    """
    with _opened(path) as books:
        return books.orders(prefix, wanted)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[_Books]:
    try:
        with contextlib.closing(_open(path)) as database:
            yield _Books(database, _size(path))
    except (sqlite3.Error, OSError, _NotOursError) as error:
        raise UnreadableError(f"{path.name} cannot be read: {printable(str(error))}") from error


class _NotOursError(Exception):
    """No venue wrote this."""


def _files(path: Path) -> list[Path]:
    return [path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")]


def _size(path: Path) -> int:
    return sum(file.stat().st_size for file in _files(path) if file.exists())


def _open(path: Path) -> sqlite3.Connection:
    """Open a database for reading.

    A venue that was killed leaves a write-ahead log, which only an ordinary reader takes into account; one
    that ended leaves none, and then nothing beside the file is made or needed.
    """
    for file in _files(path):
        if file.exists() and not file.is_file():
            raise _NotOursError(f"{file.name} is no file")  # a pipe would keep its reader waiting
    log = path.with_name(path.name + "-wal")
    mode = "mode=ro" if log.exists() and log.stat().st_size else "mode=ro&immutable=1"
    database = sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True)
    try:
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)
        database.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        end_s = time.monotonic() + READ_S + READ_S_PER_BYTE * _size(path)
        database.set_progress_handler(lambda: time.monotonic() > end_s, 10_000)
        for pragma in ("trusted_schema = OFF", "query_only = ON", "cell_size_check = ON"):
            database.execute(f"PRAGMA {pragma}")
        database.set_authorizer(_authorized)
    except BaseException:
        database.close()
        raise
    return database


def _authorized(action: int, first: str | None, second: str | None, *_: str | None) -> int:
    """Whether a statement may do this: read our tables, with a few functions, and ask for their columns."""
    allowed = (
        action == sqlite3.SQLITE_SELECT
        or (action == sqlite3.SQLITE_READ and first in (*TABLES, "sqlite_master"))
        or (action == sqlite3.SQLITE_FUNCTION and second in FUNCTIONS)
        or (action == sqlite3.SQLITE_PRAGMA and first == "table_xinfo")
    )
    return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY


class _Books:
    """An open database of which nothing is believed beforehand."""

    def __init__(self, database: sqlite3.Connection, size: int) -> None:
        self._database = database
        self._size = size
        self._has_refusals = self._is_table("refusals")
        for table in ("journal", "fills"):
            if not self._is_table(table):
                raise _NotOursError(f"it has no table {table}")

    def _is_table(self, name: str) -> bool:
        """Whether there is such a table.

        Raises:
            _NotOursError: It is a view, or something that is computed.
        """
        found = list(self._rows("SELECT type, sql FROM sqlite_master WHERE name = ?", name))
        if not found:
            return False
        (kind, sql), *more = found
        columns = list(self._rows(f"PRAGMA table_xinfo({name})"))
        computed = any(column[-1] for column in columns)
        if more or kind != "table" or computed or not str(sql).upper().startswith("CREATE TABLE"):
            raise _NotOursError(f"its {name} is not a plain table")
        return True

    def _rows(self, query: str, *values: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query; fewer than the file has bytes for.

        Raises:
            sqlite3.Error: It cannot be read, or not in time.
            _NotOursError: It holds more than its size allows, or what a venue does not write.
        """
        read = 0
        for row in self._database.execute(query, values):
            read += ROW_BYTES_MIN
            for value in row:
                if isinstance(value, str):
                    read += len(value)
                elif isinstance(value, bytes) or (isinstance(value, float) and not math.isfinite(value)):
                    raise _NotOursError("it holds values that no venue writes")
            if read > self._size:
                raise _NotOursError("it holds more than its size allows")
            yield row

    def witnessed(self) -> Venue:
        """See `witnessed`."""
        fills: dict[str, list[float]] = {}
        for order_id, time_s in self._timed("fills"):
            fills.setdefault(order_id, []).append(time_s)
        received, highest, invalid = self._one(
            "SELECT COUNT(*), COALESCE(MAX(seq), 0), COUNT(*) - COUNT(account) FROM journal"
        )
        (unheard,) = self._one(
            "SELECT COUNT(DISTINCT order_id) FROM fills"
            " WHERE order_id NOT IN (SELECT order_id FROM journal WHERE order_id IS NOT NULL)"
        )
        conflicting = self._rows(
            "SELECT order_id FROM journal WHERE order_id IS NOT NULL"
            " GROUP BY order_id HAVING COUNT(DISTINCT body) > 1 ORDER BY MIN(seq)"
        )
        ledger = self._rows(
            "SELECT order_id, account, symbol, n, side, quantity, price FROM fills"
            " WHERE side IS NOT '' ORDER BY order_id"  # what another sink carried out may be no order
        )
        return Venue(
            fills={order_id: tuple(times) for order_id, times in fills.items()},
            received=received,
            invalid=invalid,
            conflicting=tuple(_text(order_id) for (order_id,) in conflicting),
            missing=highest - received + unheard,
            ledger=tuple(ledger),  # of whatever types; it is only compared
            refusals=dict(self._refusals()),
            again=tuple(self._again()),
        )

    def _again(self) -> Iterator[float]:
        """When orders came that had come before."""
        seen: set[str] = set()
        query = "SELECT order_id, time_s FROM journal WHERE order_id IS NOT NULL ORDER BY rowid"
        for order_id, time_s in self._rows(query):
            if _text(order_id) in seen:
                yield _number(time_s)
            seen.add(order_id)

    def orders(self, prefix: str, wanted: Callable[[str], bool]) -> Orders:
        """See `orders`."""
        begins = "WHERE substr(order_id, 1, length(?1)) = ?1"
        columns = "time_s, order_id, account IS NOT NULL, body"
        received = self._rows(f"SELECT {columns} FROM journal {begins} ORDER BY time_s, rowid", prefix)
        return Orders(
            received=tuple(
                Received(_number(time_s), _text(order_id), bool(is_order), _text(body))
                for time_s, order_id, is_order, body in received
                if wanted(_text(order_id))
            ),
            filled=tuple(row for row in self._timed("fills", begins, prefix) if wanted(row[0])),
            refused=tuple(row for row in self._refusals(begins, prefix) if wanted(row[0])),
        )

    def _timed(self, table: str, where: str = "", *values: str) -> Iterator[tuple[str, float]]:
        query = f"SELECT order_id, time_s FROM {table} {where} ORDER BY time_s, rowid"
        for order_id, time_s in self._rows(query, *values):
            yield _text(order_id), _number(time_s)

    def _refusals(self, where: str = "", *values: str) -> Iterator[tuple[str, str]]:
        """Order ids and reasons; runs of before there was such a table have none."""
        if self._has_refusals:
            query = f"SELECT order_id, reason FROM refusals {where} ORDER BY time_s, rowid"
            for order_id, reason in self._rows(query, *values):
                yield _text(order_id), printable(_text(reason))

    def _one(self, query: str) -> tuple[int, ...]:
        return tuple(int(_number(value)) for value in next(self._rows(query)))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _NotOursError("it has no text where a venue writes text")
    return value


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise _NotOursError("it has no number where a venue writes a number")
    return value
