"""What nats-server's log says of calls and consumers that were slow. Pure.

    [26060] 2026/11/27 07:56:43.941584 [WRN] Internal subscription on "…" took too long: 8.003419752s
            └─ when it was over, in local time                                        └─ for how long

A stall of the broker shows nowhere else: whoever asked it something waited, and nobody knows for what.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

import msgspec

Sort = Literal["slow-call", "slow-consumer"]
"""``slow-call``: the broker took long over something, and did nothing else on that connection meanwhile.
``slow-consumer``: a client did not read what the broker had for it."""

TEXT_LENGTH_MAX = 200


class Complaint(msgspec.Struct, frozen=True, kw_only=True):
    """One of its words.

    Attributes:
        at_s: When it was said, in seconds since the epoch.
        took_s: How long it had lasted by then; None where it does not say.
        text: What it said, without addresses and keys.
    """

    what: Sort
    at_s: float
    took_s: float | None
    text: str


_LINE = re.compile(r"\[\d+\] (\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6}) \[[A-Z]{3}\] (.+)")
_SLOW_CALL = re.compile(r"(?i)(?:too long\b.*|readloop processing time): (?P<took>\d[0-9a-zµ.]*)$")
_SLOW_CONSUMER = re.compile(r"Slow Consumer\b(?:.*Flush took (?P<took>[0-9.]+s))?")
_CLIENT = re.compile(r'\S+ - cid:\d+ - (?:"[^":]*:[^":]*:(?P<name>[^"]*)")?.* - (?P<said>[^-]+.*)')
_PARTS = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def complaint(line: str) -> Complaint | None:
    """What a line of the log says of slowness; None if nothing."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    said = found[2]
    slow = _SLOW_CALL.search(said)
    match = slow or _SLOW_CONSUMER.search(said)
    if match is None:
        return None
    try:
        at_s = datetime.strptime(found[1], "%Y/%m/%d %H:%M:%S.%f").timestamp()
    except (ValueError, OverflowError):
        return None
    return Complaint(
        what="slow-call" if slow else "slow-consumer",
        at_s=at_s,
        took_s=_seconds(match["took"]),
        text=_brief(said)[:TEXT_LENGTH_MAX],
    )


def _seconds(duration: str | None) -> float | None:
    """A duration as Go writes it, for instance ``1m2.5s``."""
    if duration is None or re.fullmatch(rf"(?:{_PARTS.pattern})+", duration) is None:
        return None
    try:
        return sum(float(number) * _UNITS[unit] for number, unit in _PARTS.findall(duration))
    except ValueError:
        return None


def _brief(said: str) -> str:
    """Without the address, the account and the key of the client that it is about."""
    client = _CLIENT.fullmatch(said)
    if client is None:
        return said
    return f"{client['name']}: {client['said']}" if client["name"] else client["said"]


class Tail:
    """Cuts what is appended to a log into lines, and finds its complaints."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Complaint]:
        """The complaints among the lines that end in this piece."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            found = complaint(line.decode(errors="replace").strip())
            if found is not None:
                yield found
