"""What a run left behind, as plain data, and what makes it doubtful. Pure.

The checks and the figures see a run only through a `History`. Evidence can be
incomplete in ways that look like a better or a worse run than there was, so a
history also says what is missing from it: see `doubts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from squall.bus.border import printable
from squall.chaos.evidence.lives import Lives
from squall.services.run.result import Environment
from squall.services.trading.oracle import Row

COMMAND = "squall"
"""The writer that is no node: the command itself, which reads back what the broker holds in the end."""


Time = Annotated[float, Meta(ge=0, le=1e11)]
"""Seconds since the epoch; a line that is dated beyond three thousand years says nothing."""


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
    pause_leader: bool = False


class NodeStart(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a node."""

    node: str
    role: str
    incarnation: int
    started_s: Time
    target: str | None = None


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What a start of a node counted, by its heartbeats."""

    node: str
    incarnation: int
    counters: dict[str, Annotated[int, Meta(ge=0, le=2**53)]] = {}


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


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """A step of an experiment.

    Attributes:
        what: ``steady``: for the last ``seconds`` the swarm had kept up. ``healed``: no fault is in force any
                more, after ``faults`` of them, and what was accepted, ``backlog`` tasks of it open, must end
            within ``bound_s``.
    """

    time_s: Time
    what: Literal["steady", "healed"]
    seconds: float = 0.0
    bound_s: float = 0.0
    backlog: int = 0
    faults: int = 0


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
    """

    task: str
    intended_s: float | None
    outcome: Outcome


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


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Where a job stood in the end."""

    job: str
    opened: bool
    done: bool


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """The work queue in the end: task records written for it, messages that ever arrived, still in it."""

    dispatched: int
    arrivals: int
    left: int


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
class Reign:
    """A line about a term: taken over, given up, or a write of it refused."""

    time_s: float
    node: str
    incarnation: int
    term: int


@dataclass(frozen=True, slots=True)
class Dispatch:
    """A batch stored in the coordinator's stream: ``tasks`` records, the first at sequence ``first``.

    A term is the sequence of its own record in the same stream, so ``first`` and terms compare.
    """

    time_s: float
    node: str
    term: int
    tasks: int
    first: int


@dataclass(frozen=True, slots=True)
class Venue:
    """What the venue witnessed.

    Attributes:
        fills: For each order id, when it was filled, in order.
        received: Rows of the journal.
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


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A run.

    Attributes:
        lines: Lines of the history that could be read.
        truncated: Half lines at the end of a file, left by a writer that was killed.
        unreadable: What could not be read, each with its reason in words.
        submissions: By task, in the order of their first offer.
        outcomes_unasked: Outcomes of offers that no line tells of.
        registers: All that were read back, also several of one task.
        registers_damaged: Subjects of registers that held no record.
        dead_letters: Tasks in the dead-letter stream.
        suppressed: Commits that came second.
        refusals: What the gateway tells of effects that cannot be carried out; several of one after a repeat.
        read_back_s: When reading back began, right after draining. What nodes do after it belongs to
            stopping the swarm.
        ended_s: When the command wrote its last line.
        first_s, last_s: The first and the last time stamp there is.
        venue: None if there is no database.
        interfered: What somebody other than the harness did to its proxies, each in words.
        lives: How each start of a node lived and ended.
    """

    asked: Asked = field(default_factory=Asked)
    nodes: tuple[NodeStart, ...] = ()
    faults: tuple[Injected, ...] = ()
    phases: tuple[Phase, ...] = ()
    lines: int = 0
    truncated: int = 0
    unreadable: tuple[str, ...] = ()
    writers: tuple[Writer, ...] = ()
    submissions: Mapping[str, Submission] = field(default_factory=dict)
    outcomes_unasked: int = 0
    registers: tuple[Register, ...] = ()
    registers_damaged: tuple[str, ...] = ()
    dead_letters: tuple[str, ...] = ()
    suppressed: int = 0
    refusals: tuple[Refusal, ...] = ()
    leads: tuple[Reign, ...] = ()
    resigned: tuple[Reign, ...] = ()
    fenced: tuple[Reign, ...] = ()
    dispatches: tuple[Dispatch, ...] = ()
    jobs: tuple[Job, ...] = ()
    queue: Queue | None = None
    closing: Closing | None = None
    read_back_s: float | None = None
    ended_s: float | None = None
    first_s: float | None = None
    last_s: float | None = None
    limits: tuple[str, ...] = ()
    environment: Environment = field(default_factory=Environment)
    venue: Venue | None = None
    interfered: tuple[str, ...] = ()
    lives: Lives = field(default_factory=Lives)


def doubts(history: History) -> list[str]:
    """Why this evidence may not be all there was, in words; while there is a doubt, no check passes.

    A writer counts its own lines, which shows every loss but that of its last ones. Those show in the
    closing line, which counts the lines of all, and whose own absence shows by itself. So no line can go
    unnoticed, a writer killed at any moment costs no verdict, and half a line that it left is no loss.
    """
    found = list(history.unreadable)
    found += [f"the harness was interfered with: {printable(what)}" for what in history.interfered]
    for writer in history.writers:
        name = f"{writer.node} (incarnation {writer.incarnation})"
        if writer.missing:
            found.append(f"{_plural(writer.missing, 'line')} of {name} missing from the history")
        if writer.repeated:
            found.append(f"{_plural(writer.repeated, 'line')} of {name} repeated or out of order")
    started = {(node.node, node.incarnation) for node in history.nodes}
    unknown = [
        w.node for w in history.writers if w.node != COMMAND and (w.node, w.incarnation) not in started
    ]
    if unknown:
        found.append(f"{unknown[0]} wrote lines and nodes.jsonl tells of no such start")
    if history.outcomes_unasked:
        found.append(f"{_plural(history.outcomes_unasked, 'outcome')} of offers that were never made")
    found += _wrong_clocks(history)
    found += _uncertain_faults(history)
    found += _uncounted(history)
    registers = len(history.registers) + len(history.registers_damaged)
    if history.closing is None:
        found.append("the run was not read back to its end")
    elif history.closing.registers != registers:
        found.append(f"{history.closing.registers} registers were read back and {registers} are here")
    if history.closing is not None and history.closing.starts not in (None, len(history.nodes)):
        found.append(f"{history.closing.starts} nodes were started and {len(history.nodes)} are here")
    if history.venue is None:
        found.append("there is no database of the venue")
    elif history.venue.missing:
        found.append(f"{_plural(history.venue.missing, 'row')} missing from the venue's journal")
    return found


CLOCK_S = 5.0
"""How far a writer's clock may seem to be from the command's; all of them are on one machine."""


def _wrong_clocks(history: History) -> list[str]:
    """Writers whose lines are dated before they were started, or after the run was over."""
    started = {(node.node, node.incarnation): node.started_s for node in history.nodes}
    end_s = history.ended_s
    found = []
    for writer in history.writers:
        start_s = started.get((writer.node, writer.incarnation))
        early = start_s is not None and writer.first_s is not None and writer.first_s < start_s - CLOCK_S
        late = end_s is not None and writer.last_s is not None and writer.last_s > end_s + CLOCK_S
        if early or late:
            found.append(f"the clock of {writer.node} (incarnation {writer.incarnation}) is wrong")
    return found


def _uncertain_faults(history: History) -> list[str]:
    """Faults of an experiment that were not in force, or may be still, or of which nothing is written."""
    logged = [fault for fault in history.faults if fault.id]
    healed = next((phase for phase in history.phases if phase.what == "healed"), None)
    if not logged and not history.phases:
        return []
    found = [
        f"{fault.kind} of {fault.node or fault.target} was not "
        + ("seen to end" if fault.end_s is None else "seen in force, and healed")
        + (f": {printable(fault.reason)}" if fault.reason else "")
        for fault in logged
        if fault.end_s is None or not fault.verified
    ]
    if healed is None:
        found.append("the experiment did not come to its end")
    elif healed.faults != len(logged):
        found.append(f"{healed.faults} faults were injected and {len(logged)} are here")
    return found


def _uncounted(history: History) -> list[str]:
    """Where the closing line's counts and the lines disagree, beyond what the writers' own counts show."""
    if history.closing is None:
        return []
    here = {f"{w.node}/{w.incarnation}": w.lines + w.missing for w in history.writers}
    here[f"{COMMAND}/1"] = here.get(f"{COMMAND}/1", 0) - 1
    counted = history.closing.lines
    return [
        f"{writer} had written {_plural(counted.get(writer, 0), 'line')} and {here.get(writer, 0)} are here"
        for writer in sorted({*here, *counted})
        if here.get(writer, 0) != counted.get(writer, 0)
    ]


def _plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
