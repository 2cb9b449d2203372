"""Anybody's agent: what a handler is given and what it may return.

    def decide(task: Task) -> Order: ...                 one effect
    async def decide(task: Task) -> list[Order]: ...     several
    def decide(task: Task) -> Result: ...                effects and a value
    def decide(task: Task) -> None: ...                  nothing to be done outside

An effect is anything that msgspec encodes as JSON. Its id is made from the task,
never from the attempt, so that the outside world can refuse a repeat.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler is given.

    Attributes:
        id: Unique in the swarm, the same in every attempt.
        key: What it belongs to.
        job: The job it is part of.
        number: Its place within its key, from 1.
        attempt: Which attempt this is, from 1. Results must not depend on it.
        deadline_s: When the result is worth nothing any more, in seconds since the epoch; 0 is never.
        body: The input, as the producer made it.
    """

    id: str
    key: str
    job: str
    number: int
    attempt: int
    deadline_s: float
    body: bytes


class Result(msgspec.Struct, frozen=True):
    """Effects, and a value for whoever reads the task's register."""

    effects: tuple[Any, ...] = ()
    value: bytes = b""


class PoisonError(Exception):
    """Raised by a handler: no attempt of this task can succeed, so it is a dead letter now."""


def effect_id(task: str, index: int) -> str:
    """The id of a task's effect, counted from 0."""
    return f"{task}-{index}"
