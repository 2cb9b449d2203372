"""The tables in which the venue keeps its books, and in which the journal of another sink is kept."""

from __future__ import annotations

SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA busy_timeout = 5000;
CREATE TABLE IF NOT EXISTS journal (
    seq INTEGER PRIMARY KEY, time_s REAL NOT NULL, order_id TEXT, account TEXT, symbol TEXT, n INTEGER,
    side TEXT, quantity INTEGER, price REAL, body TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS fills (
    order_id TEXT NOT NULL, account TEXT NOT NULL, symbol TEXT NOT NULL, n INTEGER NOT NULL,
    side TEXT NOT NULL, quantity INTEGER NOT NULL, price REAL NOT NULL, time_s REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS refusals (order_id TEXT PRIMARY KEY, time_s REAL NOT NULL, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS standings (
    account TEXT NOT NULL, symbol TEXT NOT NULL, n INTEGER NOT NULL, units INTEGER NOT NULL,
    PRIMARY KEY (account, symbol)
);
CREATE VIEW IF NOT EXISTS ledger AS
    SELECT order_id, account, symbol, n, side, quantity, price FROM fills ORDER BY order_id;
"""
