"""Every message on the wire.

One frozen struct a message, told apart by ``kind``. The envelope (ids, lane,
term, attempt, deadline, trace) is part of the payload: four NATS headers would
cost almost half of the request rate. The user's bytes travel in ``body``,
untouched.

New fields get a default; old ones keep their name, type and meaning. Field
types are imported for real, because msgspec reads them at run time. Every field
is bounded, because any of them may have been written by a hijacked agent.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

SCHEMA = 1
"""Version of the messages below. A node reads its own and the one before."""

EFFECTS_MAX = 256
"""Effects that one task may have."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
TaskId = Annotated[str, Meta(min_length=1, max_length=256)]
Short = Annotated[str, Meta(max_length=64)]
"""A node, a lane, an id of a write."""

Sentence = Annotated[str, Meta(max_length=1000)]
Status = Literal["ok", "dead", "cancelled"]


class Message(Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What all messages share.

    Attributes:
        schema: Version of the sender's messages.
        trace: W3C ``traceparent`` of the task, or empty.
    """

    schema: int = SCHEMA
    trace: Annotated[str, Meta(max_length=128)] = ""


class Address(Struct, frozen=True, kw_only=True):
    """To whom a task is given, where whoever leads says so.

    Attributes:
        to: A worker; empty for whoever pulls from the pool.
        moved: How often it had been given to somebody before, who has not been heard to end it.
        tried: One of those may have begun it, so that this is no first attempt.
        hedge: Whoever had it before keeps it: this is a second try beside that one.
        had: To whom it had been given before, and where that is stored: what they end counts, too.
    """

    to: Short = ""
    moved: Count = 0
    tried: bool = False
    hedge: bool = False
    had: dict[Short, Count] = {}

    @property
    def follows(self) -> bool:
        """Whether an attempt may have been begun before, by somebody else."""
        return self.tried or self.hedge


class RunTask(Message, frozen=True, kw_only=True, tag="run-task"):
    """A task, from submission to the work queue.

    Attributes:
        task: Its id, unique in the swarm.
        key: What it belongs to (account and symbol); decides its lane.
        job: The job it is part of.
        number: Its place within its key, from 1.
        submit_s: When it was meant to be submitted, in seconds since the epoch.
        deadline_s: When its result is worth nothing any more, likewise; 0 is never.
        ingress: Sequence of its submission in the ingress stream; 0 before dispatch.
        term: Term of the leader that dispatched it; 0 before dispatch.
        again: How often it had been dispatched before: its work was lost without a result.
        body: The handler's input.
        named: The key as its user calls it, where that can be no token; for the handler alone.
        lap: In a closed row of stages, its lap, from 1: by the subject under which it waits, not by this.
        address: To whom it was given; not there where it was given to nobody by name, and once.
    """

    task: TaskId
    key: TaskId
    job: TaskId
    number: Count = 0
    submit_s: float = 0.0
    deadline_s: float = 0.0
    ingress: Count = 0
    term: Count = 0
    again: Count = 0
    body: bytes = b""
    named: TaskId | None = None
    lap: Count = 0
    address: Address | UnsetType = UNSET

    @property
    def addressed(self) -> Address:
        """To whom it was given; to the pool, where nothing says."""
        return Address() if self.address is UNSET else self.address


class CloseJob(Message, frozen=True, kw_only=True, tag="close-job"):
    """No more tasks will be submitted for this job."""

    job: TaskId


class TaskResult(Message, frozen=True, kw_only=True, tag="task-result"):
    """The content of a task's register, its only terminal record.

    Whose register it is, its subject says; what task, key, job and term say here is for people. That a task
    ended follows from there being a register, whatever is in it.

    Attributes:
        task, key, job, number, submit_s, deadline_s, term: As in `RunTask`.
        lane: The lane it ran in.
        attempt: Which attempt this came from, from 1.
        agent: Who wrote it.
        status: ``ok`` with effects, or ``dead`` or ``cancelled`` without.
        effects: What the gateway is to carry out, each as the outside world wants to read it. The id of an
            effect is made from the task and its place here, so that a register cannot name another task's.
        value: What the handler returned beside its effects.
        reason: Why it is dead, in one sentence.
        reduce_only: Of a request: it was made while its spoke heard of no leader.
        request: Of a decision: the sequence of the request that it answers.
        reduces: Of a decision: each order of it reduces exposure, or does nothing.
        denied: Of a decision: why it allows less than the request asked for, or empty.
        lap: In a closed row of stages, the lap that this came of, from 1.
        again: Of the last stage of a closed row of stages: it goes round again, and has not ended.
        hedge: It came of a second try beside the first; see `Address`.
    """

    task: TaskId
    key: TaskId
    job: TaskId
    status: Status
    number: Count = 0
    submit_s: float = 0.0
    deadline_s: float = 0.0
    term: Count = 0
    lane: Short = ""
    attempt: Count = 0
    agent: Short = ""
    effects: Annotated[tuple[bytes, ...], Meta(max_length=EFFECTS_MAX)] = ()
    value: bytes = b""
    reason: Sentence = ""
    reduce_only: bool = False
    request: Count = 0
    reduces: bool = False
    denied: Sentence = ""
    lap: Count = 0
    again: bool = False
    hedge: bool | UnsetType = UNSET


class TaskTried(Message, frozen=True, kw_only=True, tag="task-tried"):
    """How far the attempts of a task have come; kept from its first repeat, or failure, on.

    Attributes:
        attempts: How many have begun.
        deaths: How many of those before the newest neither committed nor failed: their worker died or hung.
        running: The newest has not failed.
        order: Of the delivery by which the newest began, its place among those of its consumer.
        write: Which write this was, so that its writer knows it again.
    """

    attempts: Annotated[int, Meta(ge=0, le=1000)]
    deaths: Annotated[int, Meta(ge=0, le=1000)] = 0
    running: bool = True
    order: Count = 0
    write: Short = ""


class DeadLetter(Message, frozen=True, kw_only=True, tag="dead-letter"):
    """A task that ended ``dead``, for whoever looks after it.

    Attributes:
        task: As it was dispatched, with the input that it takes to try it again.
        reason: Why it is dead, in one sentence.
        attempt, agent: Which attempt was its last, and who made it.
    """

    task: RunTask
    reason: Sentence = ""
    attempt: Count = 0
    agent: Short = ""


class TermClaimed(Message, frozen=True, kw_only=True, tag="term-claimed"):
    """Somebody leads from here on; the record's stream sequence is the term."""

    holder: Short
    write: Short


class LeaseRenewed(Message, frozen=True, kw_only=True, tag="lease-renewed"):
    """The leader is alive, or (``released``) stops leading of its own accord."""

    holder: Short
    write: Short
    released: bool = False


class JobProgress(Struct, frozen=True, kw_only=True):
    """Where one job stands, in numbers of tasks."""

    dispatched: Count = 0
    ok: Count = 0
    dead: Count = 0
    cancelled: Count = 0
    closed: bool = False
    done: bool = False


class CoordinatorState(Message, frozen=True, kw_only=True, tag="coordinator-state"):
    """A snapshot: what a new leader needs beside the records that follow it, and those of open tasks.

    Open tasks are named by where their dispatches are stored, not by their ids, so that a snapshot of the
    largest window fits a message.

    Attributes:
        write: Id of the batch that stored it.
        ingress: All submissions up to this sequence were dispatched.
        results: All registers up to this sequence of their stream are counted in.
        dispatched: Tasks dispatched in all, repeats included.
        jobs: Progress by job.
        open: Tasks dispatched and not yet terminal: the sequence of the first dispatch, and then how much
            further on the next one is.
        fresh: Ids of open tasks whose dispatches are stored in the same batch as this.
    """

    write: Short
    ingress: Count = 0
    results: Count = 0
    dispatched: Count = 0
    jobs: dict[TaskId, JobProgress] = {}
    open: tuple[Count, ...] = ()
    fresh: tuple[TaskId, ...] = ()


class HubState(Message, frozen=True, kw_only=True, tag="hub-state"):
    """A snapshot: what a new hub needs beside the requests and submissions that follow it.

    Attributes:
        write: Id of the batch that stored it.
        ingress: All submissions up to this sequence are known.
        requests: All requests up to this sequence of the stream were decided.
        decided: Decisions in all.
        positions: Net quantity by symbol, over all spokes.
        open: Submissions of tasks that are known and not decided: the sequence of the first, and then how
            much further on the next one is. They stay in the ingress, so that a snapshot of many fits.
        trimmed: Requests of the log below this sequence may be gone; 0 if all are there.
        flattened: By spoke, the newest term whose loss it has had its positions closed for.
        dispatched: Times that a task was given to a spoke by name, in all.
        given: Tasks that are given to spokes and not decided, by where their dispatches are stored, as in
            ``open``.
        fresh: Ids of those whose dispatches are stored in the same batch as this.
    """

    write: Short
    ingress: Count = 0
    requests: Count = 0
    decided: Count = 0
    positions: dict[TaskId, int] = {}
    open: tuple[Count, ...] = ()
    trimmed: Count = 0
    flattened: dict[Short, Count] = {}
    dispatched: Count = 0
    given: tuple[Count, ...] = ()
    fresh: tuple[TaskId, ...] = ()


class JobOpened(Message, frozen=True, kw_only=True, tag="job-opened"):
    job: TaskId


class JobDone(Message, frozen=True, kw_only=True, tag="job-done"):
    job: TaskId
    progress: JobProgress


class Heartbeat(Message, frozen=True, kw_only=True, tag="heartbeat"):
    """A node is alive, and how it fares.

    Attributes:
        incarnation: Counts the starts of this node, from 1.
        time_s: When it was sent, by the node's clock, in seconds since the epoch.
        state: Where it stands, for a role that has states; see `services/rules`.
        slots: Tasks it can run at a time.
        in_flight: Tasks it runs now.
        service_ms: Moving average of what a task takes it.
        counters: What it counted since it started.
    """

    role: Short
    node: Short
    incarnation: Count
    time_s: float = 0.0
    state: Short = ""
    slots: Count = 0
    in_flight: Count = 0
    service_ms: float = 0.0
    counters: Annotated[dict[Short, Count], Meta(max_length=64)] = {}


class AnnounceLeader(Message, frozen=True, kw_only=True, tag="announce-leader"):
    """Command: from now on obey this term and none below it.

    Attributes:
        token: The answer goes to ``rep.<node>.<token>``; never to an inbox the caller names.
    """

    holder: Short
    term: Count
    token: Short


class LeaderAccepted(Message, frozen=True, kw_only=True, tag="leader-accepted"):
    """Answer to `AnnounceLeader`: the highest term the node has seen, and its slots."""

    node: Short
    term: Count
    slots: Count = 0
