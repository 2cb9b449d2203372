"""What a line of any history may say: one struct an operation, and its decoder. Pure.

What belongs to a pattern is declared beside its checks; see `operations.py`.

Only what judging needs is decoded; a line may hold more.
"""

from __future__ import annotations

import msgspec

from squall.chaos.evidence.facts import (
    Closing,
    Count,
    Kept,
    Kind,
    Left,
    Letter,
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


class Offer(msgspec.Struct):
    """A task that is offered; ``input`` is the CRC-32 of its body."""

    task: str
    submit_s: Time
    input: Count | None = None


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


class Stored(msgspec.Struct):
    """Records that the broker took into the ingress."""

    stored: Count


class Gone(msgspec.Struct):
    """A consumer that was not there any more."""

    consumer: str


class Damaged(msgspec.Struct):
    subject: str


class Note(msgspec.Struct):
    limits: tuple[str, ...] = ()
    environment: Environment = Environment()
    durability: str | None = None


line = msgspec.json.Decoder(Line)
busy = msgspec.json.Decoder(Busy)
task = msgspec.json.Decoder(Task)
run = msgspec.json.Decoder(Run)
offer = msgspec.json.Decoder(Offer)
answered = msgspec.json.Decoder(Answered)
commit = msgspec.json.Decoder(Commit)
counts = msgspec.json.Decoder(Counts)
reason = msgspec.json.Decoder(Reason)
expelled = msgspec.json.Decoder(Expelled)
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
