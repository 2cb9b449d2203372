"""One record of a user's, and the task that it becomes. Pure.

    {"key": "AAPL", "body": {"side": "buy"}, "id": "order-17",
     "deadline": "2026-11-27T16:00:00Z", "needs": "gpu"}

A record has a key and a body of any JSON. It may have an id, else one is made of key and body, so that the
same record is the same task; a deadline, as ISO 8601 or in seconds since the epoch; and the capability that
whoever runs it must have, where agents of a swarm have any.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from datetime import UTC, datetime

import msgspec

from squall.bus.border import is_name, printable
from squall.bus.codec import SUBMISSION_BYTES_MAX

LENGTH_MAX = 200
"""Of an id and of a key, in characters."""

BODY_BYTES_MAX = SUBMISSION_BYTES_MAX - 4 * 1024
"""Of a body, as JSON; the rest of a submission says whose it is."""

READABLE_MAX = 20
"""How much of an id or key that cannot be a name is kept in the name it gets."""

FIELDS = ("key", "body", "id", "deadline", "needs")


class RecordError(Exception):
    """No task can be made of a record; the message ends the sentence *line 3 …*."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A task as its user names it.

    Attributes:
        id: As given, or made of key and body.
        key: What it belongs to.
        body: JSON.
        deadline_s: In seconds since the epoch; 0 is the swarm's own.
        needs: The capability that it needs; empty where none is named.
    """

    id: str
    key: str
    body: bytes
    deadline_s: float = 0.0
    needs: str = ""


class _Given(msgspec.Struct, forbid_unknown_fields=True):
    key: str | int
    body: msgspec.Raw
    id: str | int | None = None
    deadline: str | float | None = None
    needs: str | None = None


_decoder = msgspec.json.Decoder(_Given)


def from_json(line: bytes, *, named: str = "", otherwise: str = "") -> Record:
    """The record in a line of JSON.

    Args:
        named: Its id by what carries it, whatever it says itself.
        otherwise: Its id if nothing says one; empty for one that is made of key and body.

    Raises:
        RecordError: There is none.
    """
    try:
        given = _decoder.decode(line)
    except RecursionError:
        raise RecordError("is nested too deeply") from None
    except msgspec.ValidationError as error:
        raise RecordError(f"is no task: {_plain(error)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RecordError(f"is not JSON: {printable(str(error))}") from None
    identity = given.id if given.id is not None else otherwise or None
    return _record(given.key, bytes(given.body), named or identity, given.deadline, given.needs)


def from_row(columns: Sequence[str], row: Sequence[str]) -> Record:
    """The record in a row of a table. Columns that are no field are the body, where none is called that.

    Raises:
        RecordError: There is none.
    """
    if len(row) != len(columns):
        raise RecordError(f"has {len(row)} fields and the first line names {len(columns)} columns")
    said = dict(zip(columns, row, strict=True))
    if "body" in said:
        body = said["body"].encode()
        try:
            msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise RecordError(f"has a body that is not JSON: {printable(str(error))}") from None
    else:
        body = msgspec.json.encode({name: text for name, text in said.items() if name not in FIELDS})
    return _record(
        said["key"], body, said.get("id") or None, said.get("deadline") or None, said.get("needs") or None
    )


def _record(
    key: str | int, body: bytes, identity: str | int | None, deadline: str | float | None, needs: str | None
) -> Record:
    key = _text("key", key)
    if len(body) > BODY_BYTES_MAX:
        raise RecordError(f"has a body of {len(body):,} bytes, and {BODY_BYTES_MAX:,} are allowed")
    made = identity is None
    return Record(
        id=digest(key, body) if made else _text("id", identity),
        key=key,
        body=body,
        deadline_s=0.0 if deadline is None else _seconds(deadline),
        needs="" if needs is None else _text("capability", needs),
    )


def check_needs(record: Record, able: Collection[str]) -> None:
    """See that what a record needs is something that an agent can do.

    Args:
        able: The capabilities of all agents.

    Raises:
        RecordError: It is not.
    """
    if record.needs and record.needs not in able:
        known = f"there are {', '.join(sorted(able))}" if able else "there is none"
        raise RecordError(
            f"needs the capability {printable(record.needs, 60)!r}, which no agent has; {known}"
        )


def _text(what: str, given: str | int | None) -> str:
    text = str(given)
    if not text or len(text) > LENGTH_MAX:
        raise RecordError(f"has {'an' if what == 'id' else 'a'} {what} of {len(text)} characters, "
                          f"and 1 to {LENGTH_MAX} are allowed")  # fmt: skip
    return text


def _seconds(deadline: str | float) -> float:
    """A deadline in seconds since the epoch."""
    if isinstance(deadline, str):
        try:
            then = datetime.fromisoformat(deadline)
            return then.replace(tzinfo=then.tzinfo or UTC).timestamp()
        except ValueError:
            said = printable(deadline, 40)
        try:
            deadline = float(deadline)  # a table has nothing but texts
        except ValueError:
            raise RecordError(
                f"has the deadline {said!r}, which is neither ISO 8601 nor seconds since the epoch"
            ) from None
    if not 0 < deadline < 1e11:
        raise RecordError(f"has the deadline {deadline:g}, which is no time in seconds since the epoch")
    return float(deadline)


def _plain(error: msgspec.ValidationError) -> str:
    """What is wrong, without the words of the library."""
    said = str(error)
    for before, after in (
        ("Object missing required field `", "it has no `"),
        ("Object contains unknown field `", f"there are {', '.join(FIELDS)}, and no `"),
        ("Expected `object`, got", "it is no object, but"),
    ):
        if said.startswith(before):
            return printable(after + said.removeprefix(before))
    return printable(said)


# What the swarm calls it.


def task_name(identity: str) -> str:
    """The name of the task with an id: the id itself, if that can be one; else as much of it, and a hash."""
    return _name("id", identity)


def key_name(key: str) -> str:
    """The same of a key."""
    return _name("key", key)


def _name(kind: str, text: str) -> str:
    if is_name(text):
        return text
    readable = re.sub(r"[^a-z0-9]+", "-", text.lower())[:READABLE_MAX].strip("-")
    return f"{readable or kind}-{_digest(text.encode(), 8)}"


def digest(key: str, body: bytes) -> str:
    """What a task is asked, in short: the same for the same key and body, and for no other."""
    return _digest(key.encode() + b"\0" + body)


def _digest(data: bytes, size: int = 16) -> str:
    return hashlib.blake2b(data, digest_size=size).hexdigest()
