"""What a run left behind, as plain data. Pure.

The checks and the figures see a run only through a `History`. Evidence can be
incomplete in ways that look like a better or a worse run than there was, so a
history also says what is missing from it; see `doubts.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from squall.bus.border import printable
from squall.chaos.evidence.facts import (
    Asked,
    Closing,
    HeldUp,
    Injected,
    Intended,
    Kept,
    KindOf,
    Left,
    Letter,
    Mistake,
    NodeStart,
    Operation,
    Phase,
    Refusal,
    Register,
    Weighed,
)
from squall.chaos.evidence.lives import Lives
from squall.services.effects.kinds import is_outside
from squall.services.kind import NAME_LENGTH_MAX
from squall.services.run import handled
from squall.services.run.result import Busy, Environment
from squall.services.trading.orders import Row

MISSING = " is missing"
"""How it is said of a file that it is not there."""

COMMAND = "squall"
"""The writer that is no node: the command itself, which reads back what the broker holds in the end."""


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
        input: CRC-32 of its body.
        is_cut_short: Whether a start of the producer ended before it was answered, and the next was refused.
    """

    task: str
    intended_s: float | None
    outcome: Outcome
    is_abandoned: bool = False
    refused_s: tuple[float, float] | None = None
    input: int | None = None
    is_cut_short: bool = False


@dataclass(slots=True)
class Pace:
    """When the tasks that one start of a producer offered were due.

    Attributes:
        first_s, last_s: The first of them, and the last.
        widest_s: The longest time between one and the next.
    """

    first_s: float
    last_s: float
    widest_s: float = 0.0

    def due(self, at_s: float) -> None:
        """Take the next one in."""
        self.widest_s = max(self.widest_s, at_s - self.last_s)
        self.last_s = at_s


@dataclass(slots=True)
class Execution:
    """An attempt at a task that was begun, by the line of whoever began it.

    Attributes:
        attempt: Which attempt that was, as it was counted.
        failed_s: When it was told of as failed; None if it was not.
        ended_s: When it was told of as ended, failed or not; None if it was not.
        lap: Where tasks come in laps, in which; each has attempts of its own.
    """

    time_s: float
    node: str
    incarnation: int
    attempt: int
    failed_s: float | None = None
    ended_s: float | None = None
    lap: int = 0


@dataclass(slots=True)
class Handled:
    """What handlers logged of one task.

    Attributes:
        given: How often one was called with it.
        returned: By attempt, how many effects it returned.
    """

    given: int = 0
    returned: dict[int, int] = field(default_factory=dict)


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
        paces: When tasks were due, by the start of the producer that offered them.
        outcomes_unasked: Outcomes of offers that no line tells of.
        unanswered: By the start that made them last, offers of which no line tells the outcome.
        executions: By task, each attempt that was begun.
        considered: By task, each time that a handler was asked for an opinion on it; where agents vote.
        witness: By task, what the harness's own handlers wrote into their nodes' logs.
        registers: All that were read back, also several of one task.
        registers_damaged: Subjects of registers that held no record.
        memory: What each process held, in the order in which it was looked at; none in older directories.
        stored: How many records the broker took into the ingress; None in older directories.
        left: What each consumer had left; none in older directories.
        kept: What each place held that should be empty; none in older directories.
        gone: Consumers that were not there any more when they were asked what they had left.
        dead_letters: Those that the dead-letter stream holds.
        suppressed: Commits that came second.
        refusals: What the gateway tells of effects that cannot be carried out; several of one after a repeat.
        unanswered_effects: How often it tells of one that it sent and that is not known to be carried out, so
            that it is sent again.
        journal: Why the journal of a sink could not be read; empty if it could, or was not to be.
        tells_of: The handler of whose mistakes the agents of the run tell; empty in older directories.
        mistakes: Those.
        held_up: Where it held up its agents.
        came_of: What came of tasks by the lines of the agents alone, as far as they go.
        absent: By task, why nobody was there to make an attempt, when that was told last.
        absences: How often that was so.
        blamed: Why the command ended the run early, where that was for the handler; empty else.
        empty: Tasks of which an attempt ended well and came to neither order nor value.
        empty_at: Where the function begins that returned nothing for them, by the first line that tells.
        records: The lines of the pattern's own operations, by the struct that declares them; see `of`.
        undeclared: How many lines there are of each operation that neither the core nor the pattern declares.
        offered_s: When the last offer of a task was answered, with which the load ended.
        read_back_s: When reading back began, right after draining. What nodes do after it belongs to
            stopping the swarm.
        ended_s: When the command wrote its last line.
        first_s, last_s: The first and the last time stamp there is.
        venue: None if there is no database.
        durability: How much of what was accepted outlives a power loss; None in older directories.
        busy: What the broker's own log says of slow calls and slow consumers.
        interfered: What somebody other than the harness did to its proxies, each in words.
        interrupted_s: When the user asked for an end; None if nobody did, and in older directories.
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
    paces: Mapping[tuple[str, int], Pace] = field(default_factory=dict)
    outcomes_unasked: int = 0
    unanswered: Mapping[tuple[str, int], int] = field(default_factory=dict)
    executions: Mapping[str, Sequence[Execution]] = field(default_factory=dict)
    considered: Mapping[str, Sequence[Execution]] = field(default_factory=dict)
    witness: Mapping[str, Handled] = field(default_factory=dict)
    registers: tuple[Register, ...] = ()
    registers_damaged: tuple[str, ...] = ()
    memory: tuple[Weighed, ...] = ()
    stored: int | None = None
    left: tuple[Left, ...] = ()
    kept: tuple[Kept, ...] = ()
    gone: tuple[str, ...] = ()
    dead_letters: tuple[Letter, ...] = ()
    suppressed: int = 0
    refusals: tuple[Refusal, ...] = ()
    unanswered_effects: int = 0
    journal: str = ""
    tells_of: str = ""
    mistakes: tuple[Mistake, ...] = ()
    held_up: tuple[HeldUp, ...] = ()
    came_of: handled.Handled = field(default_factory=handled.Handled)
    absent: Mapping[str, str] = field(default_factory=dict)
    absences: int = 0
    blamed: str = ""
    empty: frozenset[str] = frozenset()
    empty_at: str = ""
    records: Mapping[type[Operation], tuple[Operation, ...]] = field(default_factory=dict)
    undeclared: Mapping[str, int] = field(default_factory=dict)
    closing: Closing | None = None
    offered_s: float | None = None
    read_back_s: float | None = None
    ended_s: float | None = None
    first_s: float | None = None
    last_s: float | None = None
    limits: tuple[str, ...] = ()
    environment: Environment = field(default_factory=Environment)
    durability: str | None = None
    venue: Venue | None = None
    busy: tuple[Busy, ...] = ()
    interfered: tuple[str, ...] = ()
    interrupted_s: float | None = None
    ahead_s: Mapping[tuple[str, int], float] = field(default_factory=dict)
    lives: Lives = field(default_factory=Lives)

    @property
    def is_outside(self) -> bool:
        """Whether effects went to somebody who was not in the swarm's hands."""
        return is_outside(self.asked.effects)

    @property
    def unwitnessed(self) -> str:
        """Why it is not on record what became of effects, where that is nobody's fault; empty if it is."""
        if self.venue is not None or not self.is_outside:
            return ""
        sink = printable(self.asked.effects or "", NAME_LENGTH_MAX)
        if not self.asked.effects_journal:
            return f"effects go to {sink}, which keeps no journal that could be read"
        return f"the journal of {sink} could not be read{self.journal and f': {printable(self.journal)}'}"

    @property
    def missing(self) -> tuple[str, ...]:
        """The files of the run's directory that are not there, and were from its beginning."""
        return tuple(what.removesuffix(MISSING) for what in self.unreadable if what.endswith(MISSING))

    def of(self, kind: type[KindOf]) -> tuple[KindOf, ...]:
        """The lines of one of the pattern's operations, in the order in which they were written."""
        return cast(tuple[KindOf, ...], self.records.get(kind, ()))
