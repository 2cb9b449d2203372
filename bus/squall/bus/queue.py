"""Queue: which tasks wait where, who is given them, and when they are tried again.

    another stream ──source, transform──► work-queue stream ──► consumer of a pool, shared
                                                           └──► consumer of one worker, its own

The broker alone feeds the stream, so who may not write its source can put nothing into it. The tasks of two
consumers must not overlap: the broker refuses the second.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from squall.bus import subjects
from squall.bus.backoff import bound_s
from squall.bus.codec import HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, decode
from squall.bus.jetstream import sourced
from squall.bus.messages import RunTask, TaskResult
from squall.bus.pull import EXPIRES_S


class Pacing(msgspec.Struct, frozen=True):
    """The timers of a work queue.

    Attributes:
        ack_wait_s: Silence after which a task is delivered again; higher means fewer needless repeats
            and a slower recovery from a dead worker.
        attempts: Attempts a task gets before it is dead.
        retry_base_s, retry_cap_s: A failed attempt is repeated after a random time up to
            base × 2^attempt, at most the cap.
    """

    ack_wait_s: float = 30.0
    attempts: int = 5
    retry_base_s: float = 1.0
    retry_cap_s: float = 60.0

    def pause_s(self, attempt: int, chance: random.Random) -> float:
        """How long to wait after a failed attempt; full jitter."""
        return chance.uniform(0.0, bound_s(self.retry_base_s, self.retry_cap_s, attempt))


class Place(NamedTuple):
    """Where a result is written.

    Attributes:
        alone: Where there is more than one subject that it may be written on, the pattern of all of them.
    """

    subject: str
    alone: str = ""


def read_task(data: bytes) -> tuple[RunTask, str]:
    """A task as it was submitted or dispatched.

    Raises:
        DecodeError: It is none.
    """
    return decode(data, RunTask), ""


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Which tasks one consumer delivers, and where what becomes of them is written.

    Attributes:
        stream: The stream in which they wait.
        consumer: Its consumer: of a pool that shares it, or of one worker alone.
        tasks: The subjects of the tasks that it may deliver, with wildcards.
        register: The subject of a task's register, given its lane and its name.
        marks: Under which name attempts are counted: that of the consumer, unless the tasks can move from one
            consumer to another.
        read: The task in what is delivered, and why it is not to be run, if so. Raises DecodeError.
        in_lap: Where tasks come in laps, each with a register of its own: where a result is written. Then the
            token before a task's name is its lap.
    """

    stream: str
    consumer: str
    tasks: tuple[str, ...]
    register: Callable[[str, str], str]
    marks: str = ""
    read: Callable[[bytes], tuple[RunTask, str]] = read_task
    in_lap: Callable[[TaskResult], Place] | None = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ValueError("a queue of no subjects: the broker would deliver all there are")

    def delivers(self, subject: str) -> bool:
        """Whether a task of this queue may lie under a subject."""
        return any(subjects.matches(pattern, subject) for pattern in self.tasks)

    def place(self, result: TaskResult) -> Place:
        """Where a result is written."""
        if self.in_lap is not None:
            return self.in_lap(result)
        return Place(self.register(result.lane, result.task))

    def lap(self, subject: str) -> int:
        """The lap of a task by where it waits; 0 where there are none."""
        return 0 if self.in_lap is None else subjects.lap_of(subject)

    def counted(self, subject: str) -> str:
        """Under which lane the attempts of a task are counted: those of each lap by themselves."""
        lane, lap = subjects.lane_of(subject), self.lap(subject)
        return f"{lane}-{lap}" if lap else lane


def stream_config(
    stream: str, *, source: str, transform: tuple[str, str], bytes_max: int, replicas: int = 1
) -> dict[str, Any]:
    """The stream behind queues, fed by the server from another stream and from nowhere else.

    Args:
        source: The other stream.
        transform: Which of its subjects, and what they become.
    """
    return {
        "name": stream,
        "description": "the work queue: tasks that wait for an agent, or that one has",
        "storage": "file",
        "retention": "workqueue",
        "num_replicas": replicas,
        "max_bytes": bytes_max,
        "max_msg_size": MESSAGE_BYTES_MAX + HEADER_BYTES_MAX,
        "discard": "new",
        # The smallest there is. A task that is put in twice on purpose must not be taken for a repeat; the
        # message ids of a source come along with its messages, where they have any.
        "duplicate_window": 100_000_000,
        **sourced(source, transform),
    }


def consumer_config(queue: Queue, pacing: Pacing, *, agents: int, slots: int) -> dict[str, Any]:
    """A queue's consumer, to be made with all of it in the request.

    The broker refuses a pull request beyond ``max_waiting`` without a word, so there is room for several of
    each agent: those of a link that was replaced stay open until they expire.

    Args:
        agents: How many pull from it.
        slots: Of each of them.
    """
    # A single filter has a field of its own, and only then is it part of the subject that makes the consumer.
    filters = (
        {"filter_subject": queue.tasks[0]} if len(queue.tasks) == 1 else {"filter_subjects": queue.tasks}
    )
    return {
        "durable_name": queue.consumer,
        "ack_policy": "explicit",
        "ack_wait": int(pacing.ack_wait_s * 1e9),
        "max_ack_pending": 2 * slots * agents,
        "max_waiting": 16 * agents + 64,
        "max_batch": slots,
        "max_expires": int(EXPIRES_S * 1e9),
        **filters,
    }
