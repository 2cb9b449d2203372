"""A handler that returns, raises and prints anything at all, every other task, until a file ends it."""

from __future__ import annotations

import datetime
import decimal
import enum
import math
import random
import sys
import uuid
import zlib
from pathlib import Path
from typing import Any

import msgspec

from squall.services.handlers import PoisonError, Result, Task
from squall.services.trading.strategies import decide as honest

ORDER = {"account": "evil", "symbol": "s", "n": 1, "side": "buy", "quantity": 1, "price": 1.0}
TEXTS = (
    "",
    "x",
    "\x1b[2J\x1b[H",
    "\r\n::error::x",
    "\ud800",
    "\0",
    "\u202eabc",
    "é" * 1000,
    "x" * 200_000,
    "{oops",
    "\x9b31m",
)
NUMBERS = (
    0,
    -1,
    1,
    2**31,
    2**53,
    2**63,
    2**64 - 1,
    2**64,
    -(2**63) - 1,
    10**400,
    0.1,
    math.inf,
    -math.inf,
    math.nan,
    True,
)


class Odd:
    """Says nothing sensible of itself."""

    def __repr__(self) -> str:
        raise ValueError("no repr")

    def __str__(self) -> str:
        raise RuntimeError("no str")

    def __iter__(self) -> Any:
        raise MemoryError

    def __hash__(self) -> int:
        raise TypeError

    def __bool__(self) -> bool:
        raise AttributeError

    def __eq__(self, other: object) -> bool:
        raise OSError


class OddError(Exception):
    """An error that cannot be told."""

    def __str__(self) -> str:
        raise RecursionError


class Colour(enum.Enum):
    RED = object()


def is_fuzzed(task: str) -> bool:
    return zlib.crc32(task.encode()) % 2 == 0


def value(draw: random.Random, depth: int = 0) -> Any:
    """Anything."""
    kind = draw.randrange(14 if depth < 4 else 9)
    if kind == 0:
        return draw.choice(NUMBERS)
    if kind == 1:
        return draw.choice(TEXTS)
    if kind == 2:
        return draw.randbytes(draw.choice((0, 1, 100, 10_000)))
    if kind == 3:
        return draw.choice(
            (None, object(), Odd(), Colour.RED, Ellipsis, NotImplemented, int, sys, lambda: None)
        )
    if kind == 4:
        return draw.choice(
            (datetime.datetime.max, datetime.timedelta.min, decimal.Decimal("NaN"), uuid.UUID(int=0))
        )
    if kind == 5:
        return msgspec.Raw(draw.choice((b"", b"{oops", b"1", b"null", b"[" * 50_000, b"\xff", b"1}],[{")))
    if kind == 6:
        return {**ORDER, draw.choice(list(ORDER)): draw.choice((*NUMBERS, *TEXTS, None, [], {}))}
    if kind == 7:
        return complex(1, 2)
    if kind == 8:
        return frozenset(range(draw.randrange(5)))
    if kind == 9:
        return [value(draw, depth + 1) for _ in range(draw.choice((0, 1, 3, 300 if depth == 0 else 2)))]
    if kind == 10:
        return tuple(value(draw, depth + 1) for _ in range(draw.randrange(4)))
    if kind == 11:
        return {
            draw.choice((1, "k", None, 1.5, (1, 2), b"k", *TEXTS[:6])): value(draw, depth + 1)
            for _ in range(3)
        }
    if kind == 12:
        inner: Any = []
        for _ in range(draw.choice((10, 900, 5000))):
            inner = [inner]
        return inner
    return Result(effects=tuple(value(draw, depth + 1) for _ in range(draw.randrange(4))), value=b"v")


def error(draw: random.Random) -> BaseException:
    """Anything that can be raised."""
    text = draw.choice(TEXTS)
    kinds: tuple[Any, ...] = (
        ValueError(text),
        PoisonError(text),
        PoisonError("x" * 600_000),
        OddError(),
        KeyError(Odd()),
        SystemExit(text),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        StopIteration(text),
        StopAsyncIteration(),
        RecursionError(),
        MemoryError(),
        TimeoutError(),
        ExceptionGroup(text or "g", [ValueError(text), OddError()]),
        BaseExceptionGroup("g", [KeyboardInterrupt()]),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"),
        BrokenPipeError(32, text),
    )
    return draw.choice(kinds)  # type: ignore[no-any-return]


def handler(folder: Path) -> Any:
    async def decide(task: Task) -> Any:
        if not is_fuzzed(task.id) or (folder / "enough").exists():
            return await honest(task)
        draw = random.Random(task.id)
        what = draw.randrange(10)
        if what < 2:
            (sys.stdout if what else sys.stderr).write(draw.choice(TEXTS[:4]) + '{"error":"x","url":"y"}\n')
        if what < 7:
            return value(draw)
        raise error(draw)

    return decide
