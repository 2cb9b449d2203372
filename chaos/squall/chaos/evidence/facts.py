"""What single lines and entries of a run's files say, as plain data. Pure.

Each is read as it stands; what they come to together is a `History` of `model.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

KindOf = TypeVar("KindOf", bound="Operation")

Time = Annotated[float, Meta(ge=0, le=1e11)]
"""Seconds since the epoch; a line that is dated beyond three thousand years says nothing."""

Count = Annotated[int, Meta(ge=0, le=2**53)]

Kind = Literal["invoke", "ok", "fail", "unknown"]
"""What a line says of its operation: that it begins, or how it ended."""


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """A line of an operation that a pattern declares; see `squall.chaos.evidence.operations`."""

    time_s: Time
    node: str
    incarnation: Count = msgspec.field(name="inc", default=1)
    type: Kind = "ok"


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for: the part of ``spec.toml`` that judging needs."""

    pattern: str | None = None
    seed: int | None = None
    target: str | None = None
    revision: str | None = None
    durability: str | None = None
    agents: int | None = None
    workload: str | None = None
    handler: str | None = None
    tasks: int | None = None
    tasks_from: str = ""
    rate_per_s: float | None = None
    venue: str | None = None
    effects: str | None = None
    effects_journal: str = ""
    slots: int | None = None
    lease_s: float | None = None
    ack_wait_s: float | None = None
    attempts: int | None = None
    task_deadline_s: float | None = None
    retry_base_s: float | None = None
    retry_cap_s: float | None = None
    patience_s: float | None = None
    pause_leader: bool = False


class NodeStart(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a node.

    Attributes:
        launched_s: When its process was begun; None for those that no launcher started, and in older
            directories.
        started_s: When it was seen to serve.
    """

    node: str
    role: str
    incarnation: int
    started_s: Time
    launched_s: Time | None = None
    target: str | None = None


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What a start of a node counted, by its heartbeats.

    Attributes:
        heartbeats: How many of them were heard.
        ahead_s: By how much its clock was ahead of the command's, as the fastest of them tells; None in older
            directories.
    """

    node: str
    incarnation: int
    heartbeats: Count = 0
    ahead_s: float | None = None
    counters: dict[str, Count] = {}


class Injected(msgspec.Struct, frozen=True, kw_only=True):
    """A fault as it was logged: once when it was in force, and again when it had ended.

    Attributes:
        id: The same in both lines; empty where there is one line only.
        point: Where in its work the node stood.
        start_s, acknowledged_s, verified_s: When it was sent, done, and seen; the last in its first line.
        held_s: When it was begun to be healed, and was still in force; None in older directories.
        end_s, healed_s: When it was healed, and seen to be; None while it lasts.
        verified: Whether it was seen in force; and, in the last line, still in force before it was healed,
            and healed.
        reason: Why it was not verified.
        spared: Whether it is known that the node had nothing that could be struck, so that nothing was done.
        heard: How many messages the broker had had from the node by then, by its own count of the connections
            that are open: once the fault was in force, and again before it was healed; of a fault under which
            nothing arrives. A connection that is closed is counted no more.
    """

    kind: str
    target: str
    start_s: Time
    id: str = ""
    node: str | None = None
    point: str = ""
    acknowledged_s: Time | None = None
    verified_s: Time | None = None
    held_s: Time | None = None
    end_s: Time | None = None
    healed_s: Time | None = None
    verified: bool = False
    reason: str = ""
    spared: bool = False
    heard: tuple[Count, ...] = ()

    @property
    def is_missed(self) -> bool:
        """Whether it did not come about: its target was not there in time, or did not reach the point.

        Or it was there, and had nothing that could be struck.
        """
        return self.spared or self.id.endswith("/missed")


class Intended(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of the run's schedule: its kind, on whom, and at which point of their work, if at one."""

    fault: str
    target: str
    point: str = ""


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A step of an experiment.

    Attributes:
        what: ``steady``: for the last ``seconds`` the swarm had kept up. ``healed``: no fault is in force any
                more, after ``faults`` of them, and what was accepted, ``backlog`` tasks of it open, must end
            within ``bound_s``. ``calm``: for the last ``seconds`` the load had gone on with nothing in force
            and, if that had come soon enough, nothing left to recover from.
        idle: Which share of the machine's time nobody wanted then; None if it is not known.
    """

    time_s: Time
    what: Literal["steady", "healed", "calm"]
    seconds: float = 0.0
    bound_s: float = 0.0
    backlog: int = 0
    faults: int = 0
    idle: float | None = None


class Register(msgspec.Struct, frozen=True, kw_only=True):
    """A task's terminal record, read back from the broker."""

    task: str
    key: str
    job: str
    status: Literal["ok", "dead", "cancelled"]
    stored_s: Time = msgspec.field(name="time_s_stored")
    effects: tuple[str, ...] = ()
    attempt: int = 0
    term: int = 0
    agent: str = ""
    reason: str = ""


class Weighed(msgspec.Struct, frozen=True, kw_only=True):
    """What a process held of the machine's memory.

    Attributes:
        of: The node.
        unit: Which start of it, by its target's own name: a process id, for instance.
    """

    of: str
    unit: str
    kib: Count


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """What a consumer had left in the end: not delivered, and delivered and not acknowledged."""

    stream: str
    consumer: str
    pending: Count
    held: Count


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """How many records a place held in the end that should be empty; a whole stream has no ``subjects``."""

    stream: str
    subjects: str
    messages: Count


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter as it was read back.

    Attributes:
        task: By its subject.
        of: By its content; empty if that could not be read, and None in older directories.
        input: CRC-32 of the body of the task that it has.
        attempt, agent, reason: What it says of the end of the task.
    """

    task: str
    of: str | None = None
    input: Count | None = None
    attempt: Count | None = None
    agent: str | None = None
    reason: str | None = None


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that was never carried out and never will be, as the gateway tells.

    Attributes:
        what: ``unsendable``: it was no JSON value, and was not sent. ``declined``: the venue answered that it
            does not take it, alone. ``rejected``: the venue took it for no order, and says so in its books.
            ``unapproved``: whoever votes on it has not approved it, by the gateway's own count.
        reason: Why, in a sentence.
    """

    task: str
    order_id: str
    what: Literal["unsendable", "declined", "rejected", "unapproved"]
    reason: str


class Mistake(Operation, frozen=True, kw_only=True):
    """What a handler did wrong in one attempt, as its agent tells before anything is written of the attempt.

    Attributes:
        what: ``raised``; ``gave-up``: it raised `PoisonError`; ``returned``: what cannot be sent; ``late``:
            not in time; ``order``: it returned what is no order, which was sent all the same. Of a program or
            a service: ``error``, ``broke`` off, ``answered`` what ends the task.
        reason: In one sentence, as its dead letter would say it.
        said: The exception, or what was wrong, alone.
        at: The innermost of the handler's own frames, with its line; empty where there is none.
        trace: All of them, outermost first; empty in most of many that are alike.
        order_id: Of what is no order.
    """

    task: str
    attempt: Count
    what: Literal["raised", "gave-up", "returned", "late", "order", "error", "broke", "answered"]
    reason: str
    said: str = ""
    at: str = ""
    trace: tuple[str, ...] = ()
    order_id: str = ""

    @property
    def is_final(self) -> bool:
        """Whether no further attempt was to be made."""
        return self.what in ("gave-up", "returned", "answered")


class HeldUp(Operation, frozen=True, kw_only=True):
    """A handler held up its agent's loop at one place, so often by then, and for so long at most.

    Attributes:
        at, line: Where, and where with the line as it stands there.
        took_s: For how long this time, until this line was written; None in older directories.
    """

    at: str
    line: str
    times: Count
    seconds: float
    took_s: float | None = None

    @property
    def since_s(self) -> float:
        """When it began; in older directories, that of the longest at its place, had it ended now."""
        return self.time_s - (self.seconds if self.took_s is None else self.took_s)


class Closing(msgspec.Struct, frozen=True, kw_only=True):
    """The command's last line: it read everything back.

    Attributes:
        registers: How many register lines it wrote.
        drained: Whether everything had ended and been delivered before the bound.
        lines: How many lines each writer (``node/incarnation``) had written when all nodes had ended, this
            line not among them.
        starts: How many starts of nodes there had been.
        interrupted: Whether the user stopped it before all tasks were offered.
    """

    registers: int
    drained: bool
    lines: dict[str, int]
    interrupted: bool = False
    starts: int | None = None
