"""Which tasks are poison: they kill the process of whoever works on them. Pure; `inject/handlers.py` dies."""

from __future__ import annotations

import zlib

HANDLER = "squall.chaos.inject.handlers:poisoned"
FORMER_HANDLER = "squall.chaos.poison:decide"
"""What it was called before; the directories of such runs are still judged."""

ONE_IN = 100


def is_poisoned(handler: str | None) -> bool:
    """Whether a handler is one that poison kills."""
    return handler in (HANDLER, FORMER_HANDLER)


def is_poison(task: str) -> bool:
    """Whether a task is: by its name, so that a check can tell as well."""
    return zlib.crc32(task.encode()) % ONE_IN == 0
