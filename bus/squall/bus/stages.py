"""Stages: a chain of work queues, each fed by the broker from the registers of the one before.

    IN ═► S1 ─► stage 1 ─► D1 ═► S2 ─► stage 2 ─► D2 ═► … ═► Sn ─► stage n ─► RES

A double line is the broker's own copying. A task's register of a stage is at once that it is done there and
that it waits at the next one, so there is nothing between the two that could be lost or done twice. Copying
keeps the order of registers, lane by lane. What is dead at one stage is passed on, and is dead at each.

    in.<class>.<key>.<task>     what producers submit
    s<n>.<lane>.<task>          waits at stage n
    d<n>.<lane>.<task>          the register of stage n, but of the last: that is res.<lane>.<task>
    div.s<n>.<lane>.<task>      set aside, as it waited at stage n

A row may be closed: then a task that has passed the last stage ends, or goes round again, in laps.

    IN ═► D0 ═► S1 ─► stage 1 ─► D1 ═► … ═► Sn ─► stage n ─► Dn ═► RES
    Dn ═► D0                                                 what goes round again, as long as it may

    d0.<lane>.<lap>.<task>              has come to its first lap, or round to the next one
    s<n>.<lane>.<lap>.<task>            waits at stage n, in this lap
    d<n>.<lane>.<lap>.<task>            its register of stage n in this lap, but of the last, which is one of
    d<n>.<lane>.end.<lap>.<task>          it has ended, and
    d<n>.<lane>.again.<lap>.<task>        it goes round again; whichever is there first

The broker counts the laps, as it copies what has gone round in one lap to the beginning of the next. It
copies nothing out of the last lap that there may be, so nobody goes round for ever, whatever anybody writes.

Nothing is copied from two streams into one that forgets. A broker that was started again goes on, for each
stream that it copies, behind the newest copy that is there, and where there is none, behind the time of the
last one from anywhere: of two streams it would pass over what was on its way out of the other. D0 forgets
nothing, so each has its place there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from squall.bus import queue, register
from squall.bus.codec import decode
from squall.bus.errors import DecodeError
from squall.bus.jetstream import sourced
from squall.bus.lanes import LaneQueue
from squall.bus.messages import RunTask, TaskResult
from squall.bus.queue import Pacing, Place, Queue, read_task
from squall.bus.subjects import ANY, LANES, Subjects, lane_of

STAGES_MAX = 9
"""Stages that there may be in a row."""

LAPS_MAX = 9
"""Laps that a closed row of stages may have."""

DEAD_BEFORE = "dead at an earlier stage: "

HOP_BOUND = "hop bound"
"""How the reason begins of a task that was to go round more often than it may."""

END, AGAIN = "end", "again"

DIVERTED = "DIV"
"""The plane of what is set aside where too much waits."""

_TAKES_ALL = {"max_msgs_per_subject": -1, "discard_new_per_subject": False}
"""Of a stream that the broker copies into: one that refused the second of a subject would hold up all that is
behind it. Who submits a task twice, or an instance that writes an end in two laps, is to hold up nobody; of a
task that comes twice the registers of each stage take the first."""

_LANE = f"{{{{partition({LANES},2)}}}}"
"""The lane of a submission, by its key."""


@dataclass(frozen=True, kw_only=True)
class Stages:
    """The stages of a swarm.

    Attributes:
        count: How many there are, at least one.
        laps: How many laps a task may make, where the row is closed; 0 where it is open.
    """

    swarm: Subjects
    count: int
    laps: int = 0

    # Names.

    def waiting(self, stage: int) -> str:
        """The plane of what waits at a stage."""
        return f"S{stage}"

    def done(self, stage: int) -> str:
        """The plane of a stage's registers."""
        return "RES" if stage == self.count and not self.laps else f"D{stage}"

    def tasks(self, stage: int, lane: str = ANY, task: str = ANY, lap: int | str = ANY) -> str:
        """Where tasks wait at a stage; each token may be a wildcard."""
        return self.swarm.at(f"s{stage}", lane, *self._lap(lap), task)

    def register(self, stage: int, lane: str = ANY, task: str = ANY, lap: int | str = ANY) -> str:
        """Where a task's register of a stage is; each token may be a wildcard. That of stage 0: it came in.

        Of the last stage of a closed row of stages it is that of a task that has ended.
        """
        if stage < self.count:
            return self.swarm.at(f"d{stage}", lane, *self._lap(lap), task)
        return self.last(END, lane, task, lap) if self.laps else self.swarm.at("res", lane, task)

    def last(self, what: str, lane: str = ANY, task: str = ANY, lap: int | str = ANY) -> str:
        """Where the last stage of a closed row of stages writes that a task has ended, or goes round again.

        Args:
            what: ``END``, ``AGAIN``, or a wildcard as the others may be.
        """
        return self.swarm.at(f"d{self.count}", lane, what, str(lap), task)

    def diverted(self, stage: int | str = ANY, lane: str = ANY, task: str = ANY) -> str:
        """Where a task is set aside that waited at a stage; each token may be a wildcard."""
        return self.swarm.at("div", f"s{stage}" if isinstance(stage, int) else stage, lane, task)

    def _lap(self, lap: int | str) -> tuple[str, ...]:
        """The token of a lap, which there is where the row is closed."""
        return (str(lap),) if self.laps else ()

    def marks(self, stage: int) -> str:
        """Under which name the attempts at a stage are counted."""
        return f"s{stage}"

    # Streams.

    def streams(self, *, queue_bytes_max: int, register_bytes_max: int) -> list[dict[str, Any]]:
        """The streams behind queues and registers but for RES, each after the one that feeds it."""
        made: list[dict[str, Any]] = []
        if self.laps:
            last = self._done_stream(self.count, self.last(ANY), register_bytes_max)
            made += [last, self._entry_stream(register_bytes_max)]
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
                made.append(self._done_stream(stage, self.register(stage), register_bytes_max))
        return made

    def results(self, *, bytes_max: int) -> dict[str, Any]:
        """The stream of what has ended, after those that feed it."""
        name, written = self.swarm.stream("RES"), self.swarm.registers
        if not self.laps:
            return register.stream_config(name, written, bytes_max=bytes_max)
        becomes = self.swarm.at("res", "{{wildcard(1)}}", "{{wildcard(3)}}")
        ended = sourced(self.swarm.stream(self.done(self.count)), (self.last(END), becomes))
        return {**register.stream_config(name, bytes_max=bytes_max), **ended, **_TAKES_ALL}

    def _done_stream(self, stage: int, written: str, bytes_max: int) -> dict[str, Any]:
        return register.stream_config(self.swarm.stream(self.done(stage)), written, bytes_max=bytes_max)

    def _entry_stream(self, bytes_max: int) -> dict[str, Any]:
        """The stream of what has come to a lap: to the first from the ingress, to others by going round."""
        becomes = self.register(0, _LANE, "{{wildcard(3)}}", 1)
        fed = sourced(self.swarm.stream("IN"), (self.swarm.submissions_in(ANY), becomes))["sources"]
        rounds = [
            (self.last(AGAIN, lap=lap), self.register(0, "{{wildcard(1)}}", "{{wildcard(2)}}", lap + 1))
            for lap in range(1, self.laps)
        ]
        if rounds:
            fed += sourced(self.swarm.stream(self.done(self.count)), *rounds)["sources"]
        made = register.stream_config(self.swarm.stream(self.done(0)), bytes_max=bytes_max)
        return {**made, "description": "what has come to a lap, in order", "sources": fed, **_TAKES_ALL}

    def _fed(self, stage: int) -> tuple[str, tuple[str, str]]:
        """What feeds a stage's queue: a plane, and which of its subjects become what."""
        if stage == 1 and not self.laps:
            becomes = self.swarm.at("s1", _LANE, "{{wildcard(3)}}")
            return "IN", (self.swarm.submissions_in(ANY), becomes)
        tokens = [f"{{{{wildcard({place})}}}}" for place in range(1, 3 + bool(self.laps))]
        becomes = self.swarm.at(f"s{stage}", *tokens)
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
            read=self._read(stage),
            in_lap=(lambda result: self._place(stage, result)) if self.laps else None,
        )

    def _read(self, stage: int) -> Callable[[bytes], tuple[RunTask, str]]:
        if stage > 1:
            return read_done
        return read_either if self.laps else read_task

    def _place(self, stage: int, result: TaskResult) -> Place:
        """Where a closed row's results are written: at its last stage on one of two subjects."""
        lane, task, lap = result.lane, result.task, result.lap
        if stage < self.count:
            return Place(self.register(stage, lane, task, lap))
        what = AGAIN if result.again else END
        return Place(self.last(what, lane, task, lap), self.last(ANY, lane, task, lap))

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


def read_either(data: bytes) -> tuple[RunTask, str]:
    """A task as it comes to the first stage of a closed row of stages: from outside, or from the last stage.

    Raises:
        DecodeError: It is neither.
    """
    try:
        return read_task(data)
    except DecodeError:
        return read_done(data)


def diverted_from(subject: str) -> int:
    """The stage at which a task waited that is set aside."""
    # It stands where other subjects have the lane.
    return int(lane_of(subject).removeprefix("s"))


def at_stage(result: TaskResult, stage: int, count: int, laps: int = 0) -> TaskResult:
    """A result as a stage may write it: only the last one has effects, and only what has ended.

    What would go round after the last lap that it may make is dead. The lap is that of where it waited.
    """
    if stage < count:
        return msgspec.structs.replace(result, effects=(), again=False)
    if not result.again or result.lap < laps:
        return result
    return msgspec.structs.replace(
        result, status="dead", again=False, effects=(), value=b"", reason=over(laps)
    )


def over(laps: int) -> str:
    """Why a task is dead that was to go round more often than it may."""
    times = "1 lap" if laps == 1 else f"{laps} laps"
    return f"{HOP_BOUND}: it has made {times}, and was to go round again"
