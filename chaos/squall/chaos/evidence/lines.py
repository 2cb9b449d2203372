"""What a line of a history may say: one struct an operation, and its decoder. Pure.

Only what judging needs is decoded; a line may hold more.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from squall.chaos.evidence.model import (
    Closing,
    Job,
    Outcome,
    Phase,
    Queue,
    Refusal,
    Register,
    Submission,
    Time,
)
from squall.services.run.result import Environment

Count = Annotated[int, Meta(ge=0, le=2**53)]


class Line(msgspec.Struct):
    """What every line has."""

    time_s: Time
    node: str
    inc: Count
    i: Count
    op: str
    type: Literal["invoke", "ok", "fail", "unknown"]
    what: str = ""


class Task(msgspec.Struct):
    task: str


class Offer(msgspec.Struct):
    task: str
    submit_s: Time


class Commit(msgspec.Struct):
    reason: str = ""


class Term(msgspec.Struct):
    term: int


class Batch(msgspec.Struct):
    term: int
    tasks: int
    first: int


class Counts(msgspec.Struct):
    counters: dict[str, Count]


class Reason(msgspec.Struct):
    """Why a node ends, or the harness was interfered with."""

    reason: str = ""


class Expelled(msgspec.Struct):
    agent: str
    reason: str = ""


class Killed(msgspec.Struct):
    agent: str
    incarnation: Count
    reason: str = ""


class Damaged(msgspec.Struct):
    subject: str


class Note(msgspec.Struct):
    limits: tuple[str, ...] = ()
    environment: Environment = Environment()


line = msgspec.json.Decoder(Line)
task = msgspec.json.Decoder(Task)
offer = msgspec.json.Decoder(Offer)
commit = msgspec.json.Decoder(Commit)
term = msgspec.json.Decoder(Term)
batch = msgspec.json.Decoder(Batch)
counts = msgspec.json.Decoder(Counts)
reason = msgspec.json.Decoder(Reason)
expelled = msgspec.json.Decoder(Expelled)
killed = msgspec.json.Decoder(Killed)
damaged = msgspec.json.Decoder(Damaged)
note = msgspec.json.Decoder(Note)
phase = msgspec.json.Decoder(Phase)
register = msgspec.json.Decoder(Register)
refusal = msgspec.json.Decoder(Refusal)
job = msgspec.json.Decoder(Job)
queue = msgspec.json.Decoder(Queue)
closing = msgspec.json.Decoder(Closing)

OUTCOMES: dict[str, Outcome] = {"ok": "accepted", "fail": "refused", "unknown": "unknown"}


class Offers:
    """All offers of one task: which incarnation still waits for an outcome, and what came back so far."""

    def __init__(self, intended_s: float | None) -> None:
        self.intended_s = intended_s
        self.waiting: tuple[str, int] | None = None
        self.outcomes: set[Outcome] = set()

    def submission(self, task: str) -> Submission:
        outcomes = self.outcomes if self.waiting is None else self.outcomes | {"unknown"}
        outcome: Outcome = "refused"
        if "accepted" in outcomes:
            outcome = "accepted"
        elif "unknown" in outcomes:
            outcome = "unknown"
        return Submission(task, self.intended_s, outcome)
