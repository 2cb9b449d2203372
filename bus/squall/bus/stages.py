"""Stages: a chain of work queues, each fed by the broker from the registers of the one before.

    IN ═► S1 ─► stage 1 ─► D1 ═► S2 ─► stage 2 ─► D2 ═► … ═► Sn ─► stage n ─► RES

A double line is the broker's own copying. A task's register of a stage is at once that it is done there and
that it waits at the next one, so there is nothing between the two that could be lost or done twice. Copying
keeps the order of registers, lane by lane. What is dead at one stage is passed on, and is dead at each.

    in.<class>.<key>.<task>     what producers submit
    s<n>.<lane>.<task>          waits at stage n
    d<n>.<lane>.<task>          the register of stage n, but of the last: that is res.<lane>.<task>
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from squall.bus import queue, register
from squall.bus.codec import decode
from squall.bus.lanes import LaneQueue
from squall.bus.messages import RunTask, TaskResult
from squall.bus.queue import Pacing, Queue, read_task
from squall.bus.subjects import ANY, LANES, Subjects

STAGES_MAX = 9
"""Stages that there may be in a row."""

DEAD_BEFORE = "dead at an earlier stage: "


@dataclass(frozen=True, kw_only=True)
class Stages:
    """The stages of a swarm.

    Attributes:
        count: How many there are, at least one.
    """

    swarm: Subjects
    count: int

    # Names.

    def waiting(self, stage: int) -> str:
        """The plane of what waits at a stage."""
        return f"S{stage}"

    def done(self, stage: int) -> str:
        """The plane of a stage's registers."""
        return "RES" if stage == self.count else f"D{stage}"

    def tasks(self, stage: int, lane: str = ANY, task: str = ANY) -> str:
        """Where tasks wait at a stage; either token may be a wildcard."""
        return self.swarm.at(f"s{stage}", lane, task)

    def register(self, stage: int, lane: str = ANY, task: str = ANY) -> str:
        """Where a task's register of a stage is; either token may be a wildcard."""
        if stage == self.count:
            return self.swarm.at("res", lane, task)
        return self.swarm.at(f"d{stage}", lane, task)

    def marks(self, stage: int) -> str:
        """Under which name the attempts at a stage are counted."""
        return f"s{stage}"

    # Streams.

    def streams(self, *, queue_bytes_max: int, register_bytes_max: int) -> list[dict[str, Any]]:
        """The streams behind queues and registers but for RES, each after the one that feeds it."""
        made: list[dict[str, Any]] = []
        for stage in range(1, self.count + 1):
            source, transform = self._fed(stage)
            waiting = queue.stream_config(
                self.swarm.stream(self.waiting(stage)),
                source=self.swarm.stream(source),
                transform=transform,
                bytes_max=queue_bytes_max,
            )
            made.append({**waiting, "allow_direct": True})
            if stage < self.count:
                made.append(
                    register.stream_config(
                        self.swarm.stream(self.done(stage)),
                        self.register(stage),
                        bytes_max=register_bytes_max,
                    )
                )
        return made

    def _fed(self, stage: int) -> tuple[str, tuple[str, str]]:
        """What feeds a stage's queue: a plane, and which of its subjects become what."""
        if stage == 1:
            lane = f"{{{{partition({LANES},2)}}}}"
            becomes = self.swarm.at("s1", lane, "{{wildcard(3)}}")
            return "IN", (self.swarm.submissions_in(ANY), becomes)
        becomes = self.swarm.at(f"s{stage}", "{{wildcard(1)}}", "{{wildcard(2)}}")
        return self.done(stage - 1), (self.register(stage - 1), becomes)

    # Queues.

    def queue(self, stage: int, consumer: str) -> Queue:
        """The queue of a stage, as one of its instances sees it, whatever lanes that has."""
        return Queue(
            stream=self.swarm.stream(self.waiting(stage)),
            consumer=consumer,
            tasks=(self.tasks(stage),),
            register=lambda lane, task: self.register(stage, lane, task),
            marks=self.marks(stage),
            read=read_task if stage == 1 else read_done,
        )

    def lanes(self, stage: int, pacing: Pacing, *, pending_max: int) -> LaneQueue:
        """The queue of a stage, as who moves its lanes sees it.

        Args:
            pending_max: What one instance may have in hand or given back for later.
        """
        return LaneQueue(
            stream=self.swarm.stream(self.waiting(stage)),
            tasks=lambda lane: self.tasks(stage, lane),
            config={
                "ack_policy": "explicit",
                "ack_wait": int(pacing.ack_wait_s * 1e9),
                "max_ack_pending": pending_max,
            },
        )


def read_done(data: bytes) -> tuple[RunTask, str]:
    """The task that a register of one stage is at the next, and why it is not to be run there.

    Raises:
        DecodeError: It is no register.
    """
    done = decode(data, TaskResult)
    task = RunTask(
        task=done.task,
        key=done.key,
        job=done.job,
        number=done.number,
        submit_s=done.submit_s,
        deadline_s=done.deadline_s,
        trace=done.trace,
        body=done.value,
    )
    if done.status == "ok":
        return task, ""
    return task, DEAD_BEFORE + done.reason.removeprefix(DEAD_BEFORE)


def at_stage(result: TaskResult, stage: int, count: int) -> TaskResult:
    """A result as a stage may write it: only the last one has effects."""
    return result if stage == count else msgspec.structs.replace(result, effects=())
