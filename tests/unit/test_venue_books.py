"""Reading a venue's database that anybody may have made: within a bound, or not at all."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from tests.unit.histories import case_in, good_run

from squall.chaos.evidence import venue as venue_books
from squall.chaos.evidence.venue import UnreadableError, orders, witnessed
from squall.chaos.judge.checks.hierarchical import no_loss
from squall.services.node.points import Points
from squall.services.roles.venue import Offer, Venue

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT "
GOOD = b'{"account":"a","symbol":"s","n":1,"side":"buy","quantity":2,"price":3.5}'


def made(path: Path) -> Path:
    """A database of a real venue: one order filled, one repeated, one rejected."""
    venue = Venue(path / "venue.sqlite")
    bodies = {"a-1-0": GOOD, "a-2-0": b"[]"}
    for order_id in ("a-1-0", "a-1-0", "a-2-0"):
        offer = Offer(order_id, msgspec.Raw(bodies[order_id]))
        asyncio.run(venue.take([offer], Points(lambda point: None)))
    venue.close()
    return path / "venue.sqlite"


def changed(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        for statement in statements:
            database.execute(statement)
    return path


def test_the_books_of_a_venue_are_read(tmp_path: Path) -> None:
    path = made(tmp_path)
    venue = witnessed(path)
    assert (list(venue.fills), venue.received, venue.invalid, venue.missing) == (["a-1-0"], 3, 1, 0)
    assert venue.ledger == (("a-1-0", "a", "s", 1, "buy", 2, 3.5),)
    assert list(venue.refusals) == ["a-2-0"]
    assert "this is a list of 0" in venue.refusals["a-2-0"]
    found = orders(path, "a-2", lambda order_id: True)
    assert [(request.order_id, request.is_order) for request in found.received] == [("a-2-0", False)]
    assert (found.filled, found.refused) == ((), tuple(venue.refusals.items()))


def test_a_database_of_before_refusals_were_written_down_is_read(tmp_path: Path) -> None:
    assert witnessed(changed(made(tmp_path), "DROP TABLE refusals")).refusals == {}


def test_a_view_is_never_read(tmp_path: Path) -> None:
    path = changed(
        made(tmp_path), "DROP VIEW ledger", f"CREATE VIEW ledger AS {ENDLESS} i, 1, 1, 1, 1, 1, 1 FROM n"
    )
    assert len(witnessed(path).ledger) == 1


HOSTILE = {
    "an endless view in place of a table": [
        "DROP TABLE fills",
        f"CREATE VIEW fills AS {ENDLESS} i AS order_id, 1.0 AS time_s, i AS rowid FROM n",
    ],
    "an endless view in place of the refusals": [
        "DROP TABLE refusals",
        f"CREATE VIEW refusals AS {ENDLESS} i AS order_id, 1.0 AS time_s, 'x' AS reason FROM n",
    ],
    "a computed column": [
        "DROP TABLE refusals",
        "CREATE TABLE refusals (order_id TEXT, time_s REAL,"
        " reason TEXT GENERATED ALWAYS AS (hex(zeroblob(100000000))))",
        "INSERT INTO refusals VALUES ('a-1-0', 1.0)",
    ],
    "a virtual table": [
        "DROP TABLE journal",
        "CREATE VIRTUAL TABLE journal USING fts5(seq, time_s, order_id, account, body)",
    ],
    "no table": ["DROP TABLE fills"],
    "another table": ["DROP TABLE fills", "CREATE TABLE fills (x)"],
    "an id that is no text": ["UPDATE fills SET order_id = x'00ff'"],
    "an id that is nothing": [
        "DROP TABLE refusals",
        "CREATE TABLE refusals (order_id, time_s, reason)",
        "INSERT INTO refusals VALUES (NULL, 1, 'x')",
    ],
    "a time that is no number": ["UPDATE fills SET time_s = 'noon'"],
    "a time that is infinite": ["UPDATE fills SET time_s = 9e999"],
    "text that is no text": ["UPDATE fills SET order_id = CAST(x'ff' AS TEXT)"],
    "a value of 20 million bytes": [
        "DELETE FROM refusals",
        "INSERT INTO refusals VALUES ('x', 1, printf('%.20000000c', 'x'))",
    ],
}


@pytest.mark.parametrize("statements", HOSTILE.values(), ids=HOSTILE)
def test_what_no_venue_wrote_is_not_read_and_the_verdict_is_unknown(
    statements: list[str], tmp_path: Path
) -> None:
    with pytest.raises(UnreadableError, match=r"venue\.sqlite cannot be read"):
        witnessed(changed(made(tmp_path), *statements))
    run = good_run().write(tmp_path / "run")
    (run / "venue.sqlite").unlink()
    (tmp_path / "venue.sqlite").rename(run / "venue.sqlite")
    check = no_loss(case_in(run))
    assert check.verdict == "unknown"
    assert "venue.sqlite cannot be read" in check.detail.replace("Venue", "venue")


def test_reading_ends_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = made(tmp_path)
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20000)"
    changed(path, f"INSERT INTO journal (time_s, order_id, body) {rows} SELECT 1.0, 'x' || i, 'y' FROM n")
    monkeypatch.setattr(venue_books, "READ_S", -1000.0)
    with pytest.raises(UnreadableError, match="interrupted"):
        witnessed(path)


def test_pages_that_are_read_again_and_again_are_noticed(tmp_path: Path) -> None:
    """A page of a table that many pages name as their child gives more rows than there are bytes."""
    path = made(tmp_path)
    count = 200_000
    rows = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT {count})"
    changed(
        path,
        "PRAGMA journal_mode = DELETE",
        "DROP TABLE refusals",
        "CREATE TABLE refusals (order_id TEXT, time_s REAL, reason TEXT)",
        f"INSERT INTO refusals {rows} SELECT 'x', 1.0, 'y' FROM n",
        "VACUUM",
    )
    with closing(sqlite3.connect(path)) as database:
        (root,) = database.execute("SELECT rootpage FROM sqlite_master WHERE name = 'refusals'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    data = bytearray(path.read_bytes())
    start = (root - 1) * size
    assert data[start] == 5  # an interior page of a table
    cells = int.from_bytes(data[start + 3 : start + 5])
    offsets = [int.from_bytes(data[start + 12 + 2 * n : start + 14 + 2 * n]) for n in range(cells)]
    child = data[start + offsets[0] : start + offsets[0] + 4]
    for offset in offsets:
        data[start + offset : start + offset + 4] = child
    last = max(int.from_bytes(child) * size, start + size)  # what the children were is cut off
    path.write_bytes(bytes(data[:last]))
    with pytest.raises(UnreadableError):
        witnessed(path)


@pytest.mark.parametrize("name", ["venue.sqlite", "venue.sqlite-wal", "venue.sqlite-shm"])
def test_a_pipe_in_place_of_a_file_keeps_nobody_waiting(name: str, tmp_path: Path) -> None:
    path = made(tmp_path)
    (tmp_path / name).unlink(missing_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(UnreadableError, match="is no file"):
        witnessed(path)


@pytest.mark.parametrize("act", [lambda path: witnessed(path), lambda path: orders(path, "a", bool)])
def test_reading_runs_no_trigger_and_writes_nothing(act: Callable[[Path], object], tmp_path: Path) -> None:
    path = made(tmp_path)
    before = path.read_bytes()
    act(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["venue.sqlite"]
