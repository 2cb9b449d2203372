"""What a line of any history may say: one struct an operation, and its decoder. Pure.

What belongs to a pattern is declared beside its checks; see `operations.py`.

Only what judging needs is decoded; a line may hold more.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from squall.chaos.evidence.facts import (
    Closing,
    Count,
    HeldUp,
    Kept,
    Kind,
    Left,
    Letter,
    Mistake,
    Phase,
    Refusal,
    Register,
    Time,
    Weighed,
)
from squall.services.run.result import Busy, Environment


class Line(msgspec.Struct):
    """What every line has."""

    time_s: Time
    node: str
    inc: Count
    i: Count
    op: str
    type: Kind
    what: str = ""


class Task(msgspec.Struct):
    task: str


class Answered(msgspec.Struct):
    """What became of an offer, and how often there was no room for it."""

    task: str
    refusals: Count = 0


class Run(msgspec.Struct):
    task: str
    attempt: Count = 0
    lap: Count = 0


class Offer(msgspec.Struct):
    """A task that is offered; ``input`` is the CRC-32 of its body."""

    task: str
    submit_s: Time
    input: Count | None = None


class Empty(Task):
    """A handler returned nothing; ``at`` is where its function begins, in newer ones."""

    at: str = ""


class Absent(Task):
    """Nobody was there to make an attempt."""

    attempt: Count = 0
    reason: str = ""


class Commit(msgspec.Struct):
    reason: str = ""


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


class Ended(msgspec.Struct):
    """An agent's process ended, with this status: negative for a signal."""

    agent: str
    incarnation: Count
    status: Annotated[int, Meta(ge=-128, le=255)]


class Stored(msgspec.Struct):
    """Records that the broker took into the ingress."""

    stored: Count


class Gone(msgspec.Struct):
    """A consumer that was not there any more."""

    consumer: str


class Damaged(msgspec.Struct):
    subject: str


class Note(msgspec.Struct):
    """What the command says of the run; ``handler`` is whose mistakes its agents tell of, in newer ones."""

    limits: tuple[str, ...] = ()
    environment: Environment = Environment()
    durability: str | None = None
    handler: str = ""


line = msgspec.json.Decoder(Line)
busy = msgspec.json.Decoder(Busy)
task = msgspec.json.Decoder(Task)
run = msgspec.json.Decoder(Run)
empty = msgspec.json.Decoder(Empty)
absent = msgspec.json.Decoder(Absent)
offer = msgspec.json.Decoder(Offer)
answered = msgspec.json.Decoder(Answered)
commit = msgspec.json.Decoder(Commit)
counts = msgspec.json.Decoder(Counts)
reason = msgspec.json.Decoder(Reason)
expelled = msgspec.json.Decoder(Expelled)
ended = msgspec.json.Decoder(Ended)
mistake = msgspec.json.Decoder(Mistake)
held_up = msgspec.json.Decoder(HeldUp)
killed = msgspec.json.Decoder(Killed)
damaged = msgspec.json.Decoder(Damaged)
note = msgspec.json.Decoder(Note)
phase = msgspec.json.Decoder(Phase)
register = msgspec.json.Decoder(Register)
refusal = msgspec.json.Decoder(Refusal)
memory = msgspec.json.Decoder(Weighed)
stored = msgspec.json.Decoder(Stored)
gone = msgspec.json.Decoder(Gone)
left = msgspec.json.Decoder(Left)
kept = msgspec.json.Decoder(Kept)
letter = msgspec.json.Decoder(Letter)
closing = msgspec.json.Decoder(Closing)
