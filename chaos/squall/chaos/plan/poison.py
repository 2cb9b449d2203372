"""Which tasks are poison: they kill the process of whoever works on them. Pure; `inject/handlers.py` dies.

Some of the others take long, so that they are there when poison kills their neighbours, twice at times: then
they are suspects too, and end well.
"""

from __future__ import annotations

import zlib

HANDLER = "squall.chaos.inject.handlers:poisoned"
FORMER_HANDLER = "squall.chaos.poison:decide"
"""What it was called before; the directories of such runs are still judged."""

ONE_IN = 100

LONG_ONE_IN = 40
LONG_S = 1.5
"""Which of the others take long, and how long: about as long as an agent lives before the next poison."""


def is_poisoned(handler: str | None) -> bool:
    """Whether a handler is one that poison kills."""
    return handler in (HANDLER, FORMER_HANDLER)


def is_poison(task: str) -> bool:
    """Whether a task is: by its name, so that a check can tell as well."""
    return zlib.crc32(task.encode()) % ONE_IN == 0


def takes_long(task: str) -> bool:
    """Whether a task that is no poison takes long."""
    return zlib.crc32(f"{task}/long".encode()) % LONG_ONE_IN == 0
