"""What a differential test does to both brokers, as values that hypothesis draws and shrinks.

The simplest value of each is the one that matters least.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from hypothesis import strategies as st


@dataclass(frozen=True)
class Look:
    """Ask for the state of all streams and consumers."""


@dataclass(frozen=True)
class Wait:
    tenths: int


@dataclass(frozen=True)
class Publish:
    """One message.

    Attributes:
        where: Which stream.
        subject: Which of its subjects.
        expected: What is expected of the subject: nothing, none, the newest, the newest but one.
        message_id: Which id it has; 0 is none.
        fence: Whether another subject is the one that something is expected of.
        size: Of its payload.
        last: What is expected of the whole stream, as of the subject.
    """

    where: int
    subject: int
    expected: int
    message_id: int
    fence: bool
    size: int
    last: int


@dataclass(frozen=True)
class Batch:
    """Several messages that are stored together.

    Attributes:
        entries: Of each its subject, and what is expected of that, as in `Publish`.
        fence: What the first expects of the term's subject.
        flaw: What is wrong with it.
    """

    entries: tuple[tuple[int, int], ...]
    fence: int
    flaw: str


@dataclass(frozen=True)
class Get:
    """Ask for a stored message, by its place or as the newest on a subject or pattern."""

    where: int
    subject: int
    seq: int


@dataclass(frozen=True)
class Direct:
    subject: int


@dataclass(frozen=True)
class Fetch:
    """Ask for messages from a place on, or for the one at a place.

    Attributes:
        where: Of which stream.
        seq: From where on, counted from two before the first that is there.
        batch: How many at most; 0 is the one that is there.
        bytes_max: Most bytes to be answered with; 0 is any number.
    """

    where: int
    seq: int
    batch: int
    bytes_max: int


@dataclass(frozen=True)
class Purge:
    where: int
    below: int
    pattern: int
    keep: int


@dataclass(frozen=True)
class Pull:
    """Ask a consumer for messages.

    Attributes:
        expires: In tenths of a second; 0 is never.
        heartbeat: Whether heartbeats are asked for.
        bytes_max: Most bytes to be answered with; 0 is any number.
    """

    consumer: int
    batch: int
    expires: int
    heartbeat: bool
    no_wait: bool
    bytes_max: int


@dataclass(frozen=True)
class Unhear:
    """Listen no more to the inbox of a pull."""

    pick: int


@dataclass(frozen=True)
class Answer:
    """Acknowledge a delivery, of whatever kind, and perhaps ask to be told that it arrived."""

    pick: int
    kind: int
    confirmed: bool


@dataclass(frozen=True)
class Read:
    """Make a consumer that reads a stream in order, and ask it for messages."""

    where: int
    pattern: int
    start: int
    batch: int
    name: int


@dataclass(frozen=True)
class Remake:
    """Delete a consumer, and make it again."""

    consumer: int


@dataclass(frozen=True)
class Change:
    """Give a consumer other filters, another bound of what is pending, or another word about it.

    Attributes:
        consumer: Which, of those of the work queue that several share.
        filters: Which filters.
        pending: How much may be pending; 0 is the server's own bound.
        metadata: Which word is put down with it; 0 is none.
        action: Whether it must be there, must not, or either.
    """

    consumer: int
    filters: int
    pending: int
    metadata: int
    action: str


@dataclass(frozen=True)
class List:
    """Ask for all consumers of a stream."""

    where: int


@dataclass(frozen=True)
class Oldest:
    """Ask for the oldest message of a pattern from a place on, of a stream's leader or directly."""

    where: int
    pattern: int
    seq: int
    direct: bool


@dataclass(frozen=True)
class Misconfigure:
    """Ask for a stream or a consumer that cannot be, or is there."""

    which: int


@dataclass(frozen=True)
class Ask:
    """Ask where nobody, or nothing of this name, is."""

    which: int


@dataclass(frozen=True)
class Listen:
    """Listen to a pattern of plain subjects, or end that, and say something there."""

    pattern: int
    subject: int


@dataclass(frozen=True)
class Pause:
    consumer: int
    tenths: int


Operation = (
    Look
    | Wait
    | Publish
    | Batch
    | Get
    | Direct
    | Fetch
    | Purge
    | Pull
    | Unhear
    | Answer
    | Read
    | Remake
    | Change
    | List
    | Oldest
    | Misconfigure
    | Ask
    | Listen
    | Pause
)

ANSWERS = (b"+ACK", b"-NAK", b'-NAK {"delay": 700000000}', b"+WPI", b"+TERM", b"", b"junk", b"+TERM why")
FLAWS = ("", "gap", "uncommitted", "same id", "elsewhere", "twice", "known id", "odd commit", "unnumbered")


def _number(most: int) -> st.SearchStrategy[int]:
    return st.integers(0, most)


def _often(usual: Any, *others: Any) -> st.SearchStrategy[Any]:
    return st.sampled_from([usual] * (2 + len(others)) + list(others))


def operations(*, evenly: bool = False) -> st.SearchStrategy[Operation]:
    """One operation; what a swarm does most is drawn most, unless all are to be drawn alike."""
    expected = st.sampled_from([0, 1, 1, 2, 2, 3])
    publish = st.builds(
        Publish,
        _number(6),
        _number(4),
        expected,
        _often(0, 1, 2, 3),
        _often(False, True),
        _number(40),
        _often(0, 0, 0, 1, 2),
    )
    entries = st.lists(st.tuples(_number(9), expected), min_size=1, max_size=5).map(tuple)
    batch = st.builds(Batch, entries, _often(2, 0, 3), _often(FLAWS[0], *FLAWS[1:]))
    expires = st.sampled_from([6, 0, 9, 15])
    pull = st.builds(
        Pull, _number(4), _number(4), expires, st.booleans(), _often(False, True), _often(0, 400)
    )
    kinds = st.sampled_from([0, 0, 0, 1, 1, 2, 2, 2, 3, 3, *range(4, len(ANSWERS))])
    answer = st.builds(Answer, _number(9), kinds, st.booleans())
    weighted = [
        (1, st.just(Wait(0))),  # the simplest
        (1, st.just(Look())),
        (5, publish),
        (4, batch),
        (5, pull),
        (5, answer),
        (1, st.builds(Wait, st.sampled_from([3, 6, 12]))),
        (1, st.builds(Get, _number(6), _number(4), _number(9))),
        (1, st.builds(Direct, _number(4))),
        (3, st.builds(Fetch, _often(0, 0, 1, 1, 2, 3, 4), _number(7), _number(5), _often(0, 100, 250))),
        (2, st.builds(Purge, _number(6), _number(12), _number(3), _often(0, 1, 2))),
        (1, st.builds(Unhear, _number(4))),
        (2, st.builds(Read, _number(6), _number(3), _number(8), _number(6), _number(2))),
        (1, st.builds(Remake, _number(4))),
        (
            2,
            # Not the last of the filters, which are none: see what the model leaves out.
            st.builds(Change, _number(1), _number(4), _number(3), _number(2), _often("", "create", "update")),
        ),
        (1, st.builds(List, _number(9))),
        (1, st.builds(Oldest, _number(6), _number(3), _number(9), st.booleans())),
        (1, st.builds(Misconfigure, _number(12))),
        (1, st.builds(Ask, _number(6))),
        (1, st.builds(Listen, _number(4), _number(4))),
        (1, st.builds(Pause, _number(4), _number(8))),
    ]
    # Not `one_of`, which draws each strategy as often as any other, however often it is there.
    drawn: list[st.SearchStrategy[Operation]] = [
        strategy for weight, strategy in weighted for _ in range(1 if evenly else weight)
    ]
    return st.sampled_from(range(len(drawn))).flatmap(lambda place: drawn[place])


def sequences(length: int, *, evenly: bool = False) -> st.SearchStrategy[list[Operation]]:
    return st.lists(operations(evenly=evenly), min_size=length, max_size=length)


def told(operation: Operation) -> str:
    values = ", ".join(repr(getattr(operation, field.name)) for field in fields(operation))
    return f"{type(operation).__name__}({values})"
