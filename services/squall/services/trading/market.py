"""Real daily bars, as they ship with the package. Read when first asked for."""

from __future__ import annotations

import csv
import gzip
import io
from functools import cache
from importlib import resources

import msgspec


class Bar(msgspec.Struct, frozen=True, array_like=True):
    """One trading day.

    Attributes:
        date: As in the source, m/d/yyyy.
        open, high, low, close: Prices; equal to each other where the source has only one.
    """

    date: str
    open: float
    high: float
    low: float
    close: float


SYMBOLS = ("sp500", "nasdaq", "wti")


@cache
def bars(symbol: str) -> tuple[Bar, ...]:
    """All days of a symbol on which it has a price, oldest first.

    Args:
        symbol: One of `SYMBOLS`.
    """
    if symbol == "wti":
        return tuple(Bar(date, value, value, value, value) for date, value in _series("wti", "DCOILWTICO"))
    return tuple(
        Bar(row["Date"], *(round(float(row[name]), 2) for name in ("Open", "High", "Low", "Close")))
        for row in _rows(symbol)
        if all(_is_number(row[name]) for name in ("Open", "High", "Low", "Close"))
    )


@cache
def vix() -> tuple[tuple[str, float], ...]:
    """Date and closing level of the VIX, oldest first."""
    return _series("vix", "vix")


def _series(name: str, column: str) -> tuple[tuple[str, float], ...]:
    return tuple((row["Date"], float(row[column])) for row in _rows(name) if _is_number(row[column]))


def _is_number(text: str) -> bool:
    return text not in ("", ".")


def _rows(name: str) -> list[dict[str, str]]:
    packed = resources.files("squall.services.trading").joinpath("data", f"{name}.csv.gz").read_bytes()
    return list(csv.DictReader(io.StringIO(gzip.decompress(packed).decode("ascii"))))
