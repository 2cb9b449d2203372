"""Handlers as users write them, and as they should not."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


async def fine(task: Any) -> dict[str, Any]:
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}


def plain(task: Any) -> list[dict[str, Any]]:
    return [
        {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": place, "price": 1.0}
        for place in range(2)
    ]


def prints(task: Any) -> None:
    print("this goes to the log, not among the answers")  # noqa: T201


def raises(task: Any) -> None:
    raise ValueError("this handler always raises")


def exits(task: Any) -> None:
    raise SystemExit(3)


def returns_much(task: Any) -> dict[str, str]:
    return {"much": "x" * 2_000_000}


def returns_nonsense(task: Any) -> object:
    return object()


async def hangs(task: Any) -> None:
    import asyncio

    await asyncio.Event().wait()


PLAIN = (plain, prints, raises, exits, returns_much, returns_nonsense)
ASYNC = (fine, hangs)


def drawn(task_id: str, functions: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """Which of these a task is for."""
    return functions[zlib.crc32(task_id.encode()) % len(functions)]


def any_plain(task: Any) -> Any:
    return drawn(task.id, PLAIN)(task)


async def any_async(task: Any) -> Any:
    return await drawn(task.id, ASYNC)(task)


def blocks_for_ever(task: Any) -> None:
    while True:
        time.sleep(3600)


def blocks(task: Any) -> None:
    time.sleep(90)


async def blocks_the_loop(task: Any) -> None:
    time.sleep(90)  # noqa: ASYNC251


def kills_its_worker(task: Any) -> None:
    """Some tasks are poison, the others take a while."""
    if task.id in Path(os.environ["POISON_FILE"]).read_text().split():
        os._exit(9)
    time.sleep(0.02)


def errs_now_and_then(task: Any) -> dict[str, Any]:
    """Orders as a language model might write them: long-winded, and about every third one is none."""
    wrong: list[dict[str, Any]] = [{"price": None}, {"quantity": 2**63}, {"side": "BUY"}, {"account": ""}]
    chosen = zlib.crc32(task.id.encode())
    changes = wrong[chosen // 3 % len(wrong)] if chosen % 3 == 0 else {}
    order = {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}
    return {**order, "rationale": "because " * 4000, **changes}
