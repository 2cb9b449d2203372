"""Closing prices of the shipped market data, as the harness reads them: by code of its own."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import cache
from importlib import resources

DATA = "squall.services.trading"
COLUMNS = {
    "sp500": ("Open", "High", "Low", "Close"),
    "nasdaq": ("Open", "High", "Low", "Close"),
    "wti": ("DCOILWTICO",),
}
"""By symbol, the columns of its file that must hold a number for a day to count; the last is its close."""


@cache
def closes(symbol: str) -> Sequence[int]:
    """The close of each day on which a symbol has a price, oldest first, in hundredths and so rounded.

    Args:
        symbol: One of `COLUMNS`.
    """
    packed = resources.files(DATA).joinpath("data", f"{symbol}.csv.gz").read_bytes()
    head, *days = gzip.decompress(packed).decode("ascii").splitlines()
    columns = [head.split(",").index(name) for name in COLUMNS[symbol]]
    found = []
    for day in days:
        fields = day.split(",")
        prices = [fields[column] for column in columns]
        if all(price not in ("", ".") for price in prices):
            found.append(_hundredths(prices[-1]))
    return found


def _hundredths(price: str) -> int:
    """A price, of which the files have six decimals at most."""
    whole, _, decimals = price.partition(".")
    millionths = int(whole + decimals.ljust(6, "0"))
    return (millionths + 5_000) // 10_000
