"""What a run left behind, as plain data. Pure.

The checks and the figures see a run only through a `History`. Evidence can be
incomplete in ways that look like a better or a worse run than there was, so a
history also says what is missing from it; see `doubts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeVar, cast

import msgspec
from msgspec import Meta

from squall.chaos.evidence.lives import Lives
from squall.services.run.result import Environment
from squall.services.trading.orders import Row

KindOf = TypeVar("KindOf", bound="Operation")

COMMAND = "squall"
"""The writer that is no node: the command itself, which reads back what the broker holds in the end."""


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
    venue: str | None = None
    lease_s: float | None = None
    ack_wait_s: float | None = None
    attempts: int | None = None
    task_deadline_s: float | None = None
    retry_base_s: float | None = None
    retry_cap_s: float | None = None
    patience_s: float | None = None
    pause_leader: bool = False


class NodeStart(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a node."""

    node: str
    role: str
    incarnation: int
    started_s: Time
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
        start_s, acknowledged_s, verified_s: When it was sent, done, and seen.
        end_s, healed_s: When it was healed, and seen to be; None while it lasts.
        verified: Whether it was seen in force; and, in the last line, still in force before it was healed,
            and healed.
        reason: Why it was not verified.
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
    end_s: Time | None = None
    healed_s: Time | None = None
    verified: bool = False
    reason: str = ""
    heard: tuple[Count, ...] = ()

    @property
    def is_missed(self) -> bool:
        """Whether it did not come about: its target was not there in time, or did not reach the point."""
        return self.id.endswith("/missed")


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


@dataclass(frozen=True, slots=True)
class Writer:
    """One start of one node, as far as its lines in the history tell.

    Attributes:
        lines: How many are here.
        missing: How many its own count shows to be gone; those after its last are not noticed by this.
        repeated: How many came twice or out of order.
        first_s, last_s: The times of the first and the last, by its own clock.
    """

    node: str
    incarnation: int
    lines: int = 0
    missing: int = 0
    repeated: int = 0
    first_s: float | None = None
    last_s: float | None = None


Outcome = Literal["accepted", "refused", "unknown"]


@dataclass(frozen=True, slots=True)
class Submission:
    """One task as the producer offered it, all its incarnations taken together.

    Attributes:
        intended_s: When it was first meant to be submitted; None if no line says so.
        outcome: ``refused`` only if nothing else ever came back. An offer that its producer did not live to
            see answered is ``unknown``.
        is_abandoned: Whether that is all, though a later start of the producer went on to further tasks.
        refused_s: When it was asked for and when it was refused, the last time that the broker had no room.
    """

    task: str
    intended_s: float | None
    outcome: Outcome
    is_abandoned: bool = False
    refused_s: tuple[float, float] | None = None


@dataclass(slots=True)
class Execution:
    """An attempt at a task that was begun, by the line of whoever began it.

    Attributes:
        attempt: Which attempt that was, as it was counted.
        failed_s: When it was told of as failed; None if it was not.
    """

    time_s: float
    node: str
    incarnation: int
    attempt: int
    failed_s: float | None = None


@dataclass(slots=True)
class Handled:
    """What handlers logged of one task.

    Attributes:
        given: How often one was called with it.
        returned: By attempt, how many effects it returned.
    """

    given: int = 0
    returned: dict[int, int] = field(default_factory=dict)


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


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An effect that was never carried out and never will be, as the gateway tells.

    Attributes:
        what: ``unsendable``: it was no JSON value, and was not sent. ``declined``: the venue answered that it
            does not take it, alone. ``rejected``: the venue took it for no order, and says so in its books.
        reason: Why, in a sentence.
    """

    task: str
    order_id: str
    what: Literal["unsendable", "declined", "rejected"]
    reason: str


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


@dataclass(frozen=True, slots=True)
class Venue:
    """What the venue witnessed.

    Attributes:
        fills: For each order id, when it was filled, in order.
        received: Rows of the journal.
        again: When orders came that had come before.
        invalid: Those that were no orders.
        conflicting: Order ids that came with two different bodies.
        ledger: What was filled, without times, sorted by order id.
        refusals: For each order id that it rejected, why.
        missing: Rows that the journal's own numbers, or the fills, show to be gone.
    """

    fills: Mapping[str, tuple[float, ...]]
    received: int
    invalid: int
    conflicting: tuple[str, ...]
    missing: int = 0
    ledger: tuple[Row, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    again: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A run.

    Attributes:
        asked: What was asked for, as far as every pattern has it.
        spec: All that ``spec.toml`` says, the pattern's own fields too, as they stand there.
        faults: Those that were injected, in the order of their beginnings.
        missed: Those that did not come about, because their target was not there in time.
        intended: The faults of the run's schedule; None if it had none, because a test said what to do.
        lines: Lines of the history that could be read.
        truncated: Half lines at the end of a file, left by a writer that was killed.
        unreadable: What could not be read, each with its reason in words.
        submissions: By task, in the order of their first offer.
        outcomes_unasked: Outcomes of offers that no line tells of.
        unanswered: By the start that made them last, offers of which no line tells the outcome.
        executions: By task, each attempt that was begun.
        witness: By task, what the harness's own handlers wrote into their nodes' logs.
        registers: All that were read back, also several of one task.
        registers_damaged: Subjects of registers that held no record.
        memory: What each process held, in the order in which it was looked at; none in older directories.
        stored: How many records the broker took into the ingress; None in older directories.
        left: What each consumer had left; none in older directories.
        kept: What each place held that should be empty; none in older directories.
        gone: Consumers that were not there any more when they were asked what they had left.
        dead_letters: Tasks in the dead-letter stream.
        suppressed: Commits that came second.
        refusals: What the gateway tells of effects that cannot be carried out; several of one after a repeat.
        records: The lines of the pattern's own operations, by the struct that declares them; see `of`.
        undeclared: How many lines there are of each operation that neither the core nor the pattern declares.
        read_back_s: When reading back began, right after draining. What nodes do after it belongs to
            stopping the swarm.
        ended_s: When the command wrote its last line.
        first_s, last_s: The first and the last time stamp there is.
        venue: None if there is no database.
        interfered: What somebody other than the harness did to its proxies, each in words.
        ahead_s: By how much the clock of a start was ahead of the command's, where enough was heard of it.
        lives: How each start of a node lived and ended.
    """

    asked: Asked = field(default_factory=Asked)
    spec: Mapping[str, object] = field(default_factory=dict)
    nodes: tuple[NodeStart, ...] = ()
    faults: tuple[Injected, ...] = ()
    missed: tuple[Injected, ...] = ()
    intended: tuple[Intended, ...] | None = None
    phases: tuple[Phase, ...] = ()
    lines: int = 0
    truncated: int = 0
    unreadable: tuple[str, ...] = ()
    writers: tuple[Writer, ...] = ()
    submissions: Mapping[str, Submission] = field(default_factory=dict)
    outcomes_unasked: int = 0
    unanswered: Mapping[tuple[str, int], int] = field(default_factory=dict)
    executions: Mapping[str, Sequence[Execution]] = field(default_factory=dict)
    witness: Mapping[str, Handled] = field(default_factory=dict)
    registers: tuple[Register, ...] = ()
    registers_damaged: tuple[str, ...] = ()
    memory: tuple[Weighed, ...] = ()
    stored: int | None = None
    left: tuple[Left, ...] = ()
    kept: tuple[Kept, ...] = ()
    gone: tuple[str, ...] = ()
    dead_letters: tuple[str, ...] = ()
    suppressed: int = 0
    refusals: tuple[Refusal, ...] = ()
    records: Mapping[type[Operation], tuple[Operation, ...]] = field(default_factory=dict)
    undeclared: Mapping[str, int] = field(default_factory=dict)
    closing: Closing | None = None
    read_back_s: float | None = None
    ended_s: float | None = None
    first_s: float | None = None
    last_s: float | None = None
    limits: tuple[str, ...] = ()
    environment: Environment = field(default_factory=Environment)
    venue: Venue | None = None
    interfered: tuple[str, ...] = ()
    ahead_s: Mapping[tuple[str, int], float] = field(default_factory=dict)
    lives: Lives = field(default_factory=Lives)

    def of(self, kind: type[KindOf]) -> tuple[KindOf, ...]:
        """The lines of one of the pattern's operations, in the order in which they were written."""
        return cast(tuple[KindOf, ...], self.records.get(kind, ()))
