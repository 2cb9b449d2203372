"""Times as the server writes them, and as it reads them. Pure."""

from __future__ import annotations

import datetime
import functools
import json

from squall.chaos.model.errors import Unmodelled

NEVER = "0001-01-01T00:00:00Z"


def rfc3339(stamp_ns: int) -> str:
    """A date in UTC with up to nine decimals, trailing zeros left out."""
    seconds, nanoseconds = divmod(stamp_ns, 1_000_000_000)
    fraction = f".{nanoseconds:09}".rstrip("0") if nanoseconds else ""
    return f"{_date(seconds)}{fraction}Z"


@functools.lru_cache(maxsize=1024)
def _date(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")


def from_rfc3339(text: str) -> int:
    """The date as nanoseconds since the epoch, to the microsecond."""
    return int(datetime.datetime.fromisoformat(text).timestamp() * 1e6) * 1000


def length(ns: int) -> str:
    """A length of time in the words of Go, for instance ``1m30s``, ``4.5s`` or ``250ms``."""
    if ns < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1000)):
            if ns >= size:
                return f"{ns / size:.9f}".rstrip("0").rstrip(".") + unit
        return f"{ns}ns"
    minutes, rest = divmod(ns, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    seconds = f"{rest / 1e9:.9f}".rstrip("0").rstrip(".")
    if hours:
        return f"{hours}h{minutes}m{seconds}s"
    return f"{minutes}m{seconds}s" if minutes else f"{seconds}s"


def nak_delay_s(argument: bytes) -> float | None:
    """The delay that a nak asks for; None if it cannot be read, which is as if it asked for none."""
    if not argument.startswith(b"{"):
        raise Unmodelled(f"a nak with {argument!r}")
    try:
        delay = json.loads(argument).get("delay", 0)
    except ValueError:
        return None
    return delay / 1e9 if isinstance(delay, int) else None
