"""Anybody's agent: what a handler is given and what it may return.

    def decide(task: Task) -> Order: ...                 one effect
    async def decide(task: Task) -> list[Order]: ...     several
    def decide(task: Task) -> Result: ...                effects and a value
    def decide(task: Task) -> None: ...                  nothing to be done outside

Where peers vote on what one of them proposes, a module may say how, and else a peer says yes to what its own
handler would have done:

    def vote(task: Task, proposal: Proposal) -> bool: ...
    def vote(task: Task, proposal: Proposal) -> Vote: ...        with a reason, and how sure it is

A program or a service is told the same, and answers the same, as JSON; see `answers.py`.

An effect is anything that msgspec encodes as JSON, with finite numbers; a task has 256 at most. Its id is
made from the task, never from the attempt, so that the outside world can refuse a repeat.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

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
    """Effects, and a value for whoever reads the task's register.

    Attributes:
        effects: A tuple of them, also for one.
        value: Bytes; encode a text.
        again: At the last of stages that are closed: the task goes round again, and the first stage is given
            the value. What goes round has no effects; those of its last lap count.
    """

    effects: tuple[Any, ...] = ()
    value: bytes = b""
    again: bool = False


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What another peer would do about a task.

    Attributes:
        peer: Who proposes it.
        attempt: Which proposal of the task this is, from 1.
        effects: What its handler returned, as JSON reads it.
        value: The value beside them.
        dead: Its handler failed for good, and the task is to end without a result.
        reason: Why it did.
    """

    peer: str
    attempt: int
    effects: tuple[Any, ...] = ()
    value: bytes = b""
    dead: bool = False
    reason: str = ""


class Vote(msgspec.Struct, frozen=True):
    """What a peer thinks of a proposal.

    Attributes:
        verdict: An abstention counts as no yes.
        confidence: From 0 to 1, for people.
    """

    verdict: Literal["yes", "no", "abstain"]
    reason: str = ""
    confidence: float = 1.0


Handler = Callable[[Task], Any]
"""Takes a task; returns None, an effect, a list of them, a `Result`, or an awaitable of one of these."""


Voter = Callable[[Task, Proposal], Any]
"""Takes a task and a proposal; returns True, False, a verdict, a `Vote`, None to abstain, or an awaitable."""


class PoisonError(Exception):
    """Raised by a handler: no attempt of this task can succeed, so it is a dead letter now."""


def effect_id(task: str, index: int) -> str:
    """The id of a task's effect, counted from 0."""
    return f"{task}-{index}"
