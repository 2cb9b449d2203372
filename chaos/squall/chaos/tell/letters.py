"""Dead letters of a run: tasks that were given up, and effects that nobody will carry out. Pure.

registers that say dead ─┬─► letters, with what became of each attempt ─► listed, shown, or replayed
effects that were refused ┘
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from squall.chaos.evidence.model import Execution, History
from squall.chaos.judge.mistakes import in_order
from squall.services.intake.store import Named, Stored, stored

REPLAY = "replay.jsonl"
REPLAYED = "replayed.jsonl"
"""Beside what a run left: its dead tasks as tasks of a further run, and what came of them there."""

FIRST_REPLAY = 2


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt.

    Attributes:
        attempt: Its number.
        agent: Who made it.
        begun_s, ended_s: In seconds since the epoch; no end where nobody told of one.
        failed: Whether it was told of as failed; what was neither failed nor ended was cut off.
    """

    attempt: int
    agent: str
    begun_s: float
    ended_s: float | None
    failed: bool


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """What came to no good end.

    Attributes:
        kind: ``task`` or ``effect``.
        id: The task as its user calls it; of an effect its key.
        task: As the swarm calls the task.
        key: What the task belongs to, as its user calls it.
        reason: Why.
        agent: Who wrote that the task is dead.
        attempts: All that were made, in order.
        ended_s: When it was given up, in seconds since the epoch; None of an effect.
    """

    kind: Literal["task", "effect"]
    id: str
    task: str
    key: str
    reason: str
    agent: str = ""
    attempts: tuple[Tried, ...] = ()
    ended_s: float | None = None


def letters(history: History, named: Callable[[str], Named]) -> list[Letter]:
    """All of a run, the tasks first, in the order in which they were given up.

    Args:
        named: Given the swarm's name for a task, what its user calls it.
    """
    dead = sorted((r for r in history.registers if r.status == "dead"), key=lambda r: r.stored_s)
    found = [
        Letter(
            kind="task",
            id=called.id,
            task=register.task,
            key=called.key or register.key,
            reason=register.reason,
            agent=register.agent,
            attempts=tuple(_tried(in_order(history, register.task))),
            ended_s=register.stored_s,
        )
        for register in dead
        for called in [named(register.task)]
    ]
    for refusal in {each.order_id: each for each in history.refusals}.values():
        called = named(refusal.task)
        found.append(
            Letter(
                kind="effect", id=refusal.order_id, task=refusal.task, key=called.key, reason=refusal.reason
            )
        )
    return found


def _tried(runs: Sequence[Execution]) -> Iterator[Tried]:
    for run in runs:
        yield Tried(
            attempt=run.attempt,
            agent=run.node,
            begun_s=run.time_s,
            ended_s=run.ended_s,
            failed=run.failed_s is not None,
        )


def generation(identity: str, *, is_replay: bool) -> str:
    """The id of a dead task when it is tried again: ``order-17.2``, and after that ``order-17.3``.

    Args:
        is_replay: Whether the run that it died in was itself a replay.
    """
    first, dot, number = identity.rpartition(".")
    if is_replay and dot and number.isdecimal():
        return f"{first}.{int(number) + 1}"
    return f"{identity}.{FIRST_REPLAY}"


def replay(tasks: Path, chosen: Sequence[Letter], *, is_replay: bool) -> bytes:
    """The dead tasks of a run as its user would write them, under ids of their own and without deadlines.

    Args:
        tasks: The run's own tasks.
    """
    wanted = {letter.task for letter in chosen}
    return b"".join(
        _line(each, generation(each.id, is_replay=is_replay)) for each in stored(tasks) if each.task in wanted
    )


def _line(task: Stored, identity: str) -> bytes:
    record = {"id": identity, "key": task.named, "body": msgspec.Raw(task.body)}
    if task.needs:
        record["needs"] = task.needs
    return msgspec.json.encode(record) + b"\n"
