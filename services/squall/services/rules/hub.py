"""What a hub knows, as a fold over its log and the ingress, and what it decides on a request. Pure.

    snapshot ─► decisions after it ─► submissions still in the ingress ─► what is known now
                                                        │
    requests, in the order of the log ──────────────────┴─► one decision each

Which tasks there are, and of which class, is known from the ingress, which spokes cannot write. Of a request
its subject and its place are believed, and of its content only what it asks for.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from squall.bus.border import printable
from squall.bus.codec import MESSAGE_BYTES_MAX, encode
from squall.bus.errors import MessageTooLargeError
from squall.bus.messages import HubState, TaskResult
from squall.bus.subjects import lane_for
from squall.services.rules.dispatch import Given
from squall.services.rules.exposure import Positions, carried_out, rule

UNREQUESTED = "acknowledged without a request"
"""Why a task is dead whose spoke let go of it and asked for nothing; who judges a run knows it by this."""

UNREADABLE = "its submission cannot be read"
"""Why a task is dead that could be given to nobody."""

FLATTEN = "flatten"
"""The class of the one thing that a spoke asks for by itself: to have the positions in its symbols closed."""

TERM_DIGITS_MAX = 16


def flatten_task(spoke: str, term: int) -> str:
    """The task of closing positions because the hub of a term was lost."""
    return f"{FLATTEN}-{spoke}-{term}"


class Submitted(NamedTuple):
    """A task that was submitted and is not decided.

    Attributes:
        sequence: Its place in the ingress; 0 if it was not submitted there.
        job: Its class.
        key: What it belongs to.
    """

    sequence: int
    job: str
    key: str


class Request(NamedTuple):
    """What a spoke wrote into the hub's log.

    Attributes:
        sequence: Its place in the log.
        agent, task: Who wrote it, and for which task, by its subject.
        result: Its content, or in a sentence why it cannot be read.
    """

    sequence: int
    agent: str
    task: str
    result: TaskResult | str


class Standing:
    """The mutable state behind a `HubState`.

    Args:
        addressed: Whether a task is asked for by whom it was given to, instead of by who has its class.

    Attributes:
        positions: Net units by symbol, after every decision so far.
        ingress: All submissions up to this sequence are known.
        requests: All requests up to this sequence of the log are decided, or never will be.
        decided: Decisions so far.
        open: Tasks that were submitted and are not decided, in the order of their submission.
        trimmed: The log was trimmed below this sequence.
        flattened: By spoke, the newest term whose loss it has had its positions closed for.
        given: Those of the open tasks that were given to spokes by name.
    """

    def __init__(self, state: HubState | None = None, *, addressed: bool = False) -> None:
        self.given = Given(state.dispatched if state else 0)
        self._is_addressed = addressed
        self.positions: Positions = dict(state.positions) if state else {}
        self.ingress = state.ingress if state else 0
        self.requests = state.requests if state else 0
        self.decided = state.decided if state else 0
        self.trimmed = state.trimmed if state else 0
        self.flattened: dict[str, int] = dict(state.flattened) if state else {}
        self.open: dict[str, Submitted] = {}
        self._early: set[str] = set()  # decided, and their submissions are yet to be read again
        self._early_to = 0

    def snapshot(self, write: str) -> HubState:
        """Everything a successor needs beside the log after it and the ingress."""
        places = sorted(at.sequence for at in self.open.values())
        return HubState(
            write=write,
            ingress=self.ingress,
            requests=self.requests,
            decided=self.decided,
            positions=dict(self.positions),
            open=tuple(later - earlier for earlier, later in itertools.pairwise([0, *places])),
            trimmed=self.trimmed,
            flattened=dict(self.flattened),
            dispatched=self.given.dispatched,
            given=self.given.places(),
            fresh=self.given.fresh(),
        )

    def read_again(self, sequence: int) -> None:
        """What was resumed as decided was submitted up to here, as far as it is still there."""
        self._early_to = sequence

    @property
    def is_caught_up(self) -> bool:
        """Whether no submission is left to be read of a task that was resumed as decided.

        Until then a snapshot would not do: it covers these decisions, so that a successor would read none of
        them, and take their tasks for open.
        """
        return self.ingress >= self._early_to

    def submitted(self, task: str, at: Submitted) -> None:
        """A submission was read."""
        self.ingress = max(self.ingress, at.sequence)
        if task in self._early:
            self._early.discard(task)
        else:
            self.open.setdefault(task, at)

    def skip(self, sequence: int) -> None:
        """There is no task in this submission."""
        self.ingress = max(self.ingress, sequence)

    def asked(
        self, request: Request, owners: Mapping[str, str], term: int
    ) -> Submitted | Literal["not-open", "foreign"]:
        """What a request is for, or why it is not decided.

        Args:
            owners: Which spoke has a class.
            term: The hub's own.
        """
        at = self.open.get(request.task)
        if at is not None:
            return at if self._may_ask(request, at, owners) else "foreign"
        lost = _flatten_term(request.task, request.agent)
        if request.agent in owners.values() and self.flattened.get(request.agent, 0) < lost <= term:
            return Submitted(0, FLATTEN, request.agent)
        return "not-open"

    def _may_ask(self, request: Request, at: Submitted, owners: Mapping[str, str]) -> bool:
        if self._is_addressed:
            return self.given.had_by(request.task, request.agent, request.sequence)
        return owners.get(at.job) == request.agent

    def is_given(self, task: str) -> bool:
        """Whether a task can be with a spoke: where they are given by name, once that is stored."""
        if not self._is_addressed:
            return True
        at = self.given.open.get(task)
        return at is not None and at.sequence > 0

    def passed(self, sequence: int) -> None:
        """This request is not decided, and never will be."""
        self.requests = max(self.requests, sequence)

    def decide(self, decision: TaskResult, positions: Positions) -> None:
        """A task is decided, and this is held then."""
        self.close(decision.task)
        if decision.job == FLATTEN and (lost := _flatten_term(decision.task, decision.agent)):
            self.flattened[decision.agent] = lost
        self.positions = positions
        self.requests = max(self.requests, decision.request)
        self.decided += 1

    def resume(self, decision: TaskResult) -> None:
        """A decision that is stored was read, before any submission."""
        self._early.add(decision.task)
        self.decide(decision, carried_out(decision.effects, self.positions))

    def close(self, task: str) -> None:
        """A task is open no more; it may have been decided long ago, and submitted once more."""
        self.open.pop(task, None)
        self.given.over(task)

    def kept_from(self) -> int:
        """The place in the ingress from which submissions are needed."""
        return next((at.sequence for at in self.open.values()), self.ingress + 1)

    def kept_from_by_class(self, classes: Iterable[str]) -> list[tuple[str, int]]:
        """The same of each class alone, as all of them stand at one moment.

        Whoever trims by it waits for the broker, and further submissions are read meanwhile.
        """
        first: dict[str, int] = {}
        for at in self.open.values():
            first.setdefault(at.job, at.sequence)
        return [(kind, first.get(kind, self.ingress + 1)) for kind in classes]


def _flatten_term(task: str, spoke: str) -> int:
    """The term whose loss a task of closing is for; 0 for any other task."""
    term = task.removeprefix(flatten_task(spoke, 0)[:-1])
    return int(term) if term != task and term.isdecimal() and len(term) <= TERM_DIGITS_MAX else 0


def open_places(state: HubState) -> set[int]:
    """Where the submissions of a snapshot's open tasks are stored."""
    return set(itertools.accumulate(state.open))


def decision(
    request: Request, at: Submitted, positions: Positions, *, term: int, bound: int
) -> tuple[TaskResult, Positions]:
    """What becomes of a request for an open task, by a spoke that has its class; and what is held then.

    Args:
        bound: The most units of a symbol that may be held.
    """
    asked = request.result
    if isinstance(asked, str):
        return dead(request.task, at, f"its request cannot be read: {asked}", request, term=term), positions
    if asked.status != "ok":
        reason = asked.reason if asked.status == "dead" else f"its request says {asked.status}"
        return dead(request.task, at, reason, request, term=term), positions
    reduce_only = asked.reduce_only or at.job == FLATTEN
    ruling = rule(asked.effects, positions, bound=bound, reduce_only=reduce_only)
    decided = msgspec.structs.replace(
        asked,
        **_known(request.task, at, request, term),
        effects=ruling.effects,
        reduce_only=reduce_only,
        reduces=ruling.reduces,
        denied=ruling.denied,
        reason="",
    )
    try:
        encode(decided, MESSAGE_BYTES_MAX)
    except MessageTooLargeError as error:
        return dead(request.task, at, f"the decision is too large: {error}", request, term=term), positions
    return decided, ruling.positions


def dead(task: str, at: Submitted, reason: str, request: Request | None, *, term: int) -> TaskResult:
    """The decision on a task that ends without effects.

    Args:
        request: What it answers; None if there is no request.
    """
    asked = request.result if request is not None else ""
    told = (
        asked
        if isinstance(asked, TaskResult)
        else TaskResult(task=task, key=at.key, job=at.job, status="dead")
    )
    return TaskResult(
        **_known(task, at, request, term),
        status="dead",
        number=told.number,
        submit_s=told.submit_s,
        deadline_s=told.deadline_s,
        trace=told.trace,
        attempt=told.attempt,
        reduce_only=told.reduce_only,
        reduces=True,
        reason=printable(reason),
    )


def _known(task: str, at: Submitted, request: Request | None, term: int) -> dict[str, Any]:
    """What a decision says that is not a spoke's to say."""
    return {
        "task": task,
        "key": at.key,
        "job": at.job,
        "lane": lane_for(task),
        "term": term,
        "agent": request.agent if request is not None else "",
        "request": request.sequence if request is not None else 0,
    }
