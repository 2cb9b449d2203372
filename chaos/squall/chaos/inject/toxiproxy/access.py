"""Who asks Toxiproxy: its API knows no password, so what is asked by others is noticed instead.

    harness ──requests, counted──► Toxiproxy ──► its log: who asked for what
        └──────────────── compared ────────────────┘

Each request of ours carries a name that was drawn for this server. A request without it is a stranger's. The
name can be read in the log by whoever may read the run's directory; who uses it makes more requests with it
than we have sent.
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from pathlib import Path

import msgspec

from squall.bus.border import printable

LOOKING = ("GET", "HEAD", "OPTIONS")
"""Methods that change nothing."""


class _Logged(msgspec.Struct):
    """A line about a request; lines about connections have a ``method``, too, and no ``url``."""

    method: str = ""
    url: str = ""
    user_agent: str = ""


_logged = msgspec.json.Decoder(_Logged)


class Access:
    """What was asked of one server, by us and by others.

    Args:
        log: The server's log, which tells of each request.
        public: Whether others were told where it is, and so may look.

    Attributes:
        agent: Our name in each of our requests.
    """

    def __init__(self, log: Path, *, public: bool) -> None:
        self.agent = f"squall-{secrets.token_hex(8)}"
        self._log = log
        self._public = public
        self._lock = threading.Lock()
        self._sent = 0
        self._seen = 0
        self._read_to = 0

    def begin(self, offset: int) -> None:
        """The server's log begins there."""
        self._read_to = offset

    def sending(self) -> None:
        """One request of ours is about to be sent."""
        with self._lock:
            self._sent += 1

    def strangers(self) -> list[str]:
        """What others have asked since the last call, each in words; reads on in the log."""
        found = []
        data = b""
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            size = file.seek(0, 2)
            if size < self._read_to:
                found.append("Toxiproxy's log was cut, which tells who asked it")
            file.seek(min(size, self._read_to))
            data = file.read()
            self._read_to = min(size, self._read_to)
        whole, newline, _ = data.rpartition(b"\n")
        self._read_to += len(whole) + len(newline)
        for line in whole.splitlines():
            with contextlib.suppress(msgspec.DecodeError, RecursionError):
                found += self._judged(_logged.decode(line))
        with self._lock:
            if self._seen > self._sent:
                found.append(f"Toxiproxy was asked {self._seen - self._sent} times in the harness's name")
                self._seen = self._sent
        return found

    def _judged(self, logged: _Logged) -> list[str]:
        if not logged.method or not logged.url:
            return []
        if logged.user_agent == self.agent:
            self._seen += 1
            return []
        if self._public and logged.method in LOOKING:
            return []
        return [f"somebody else asked Toxiproxy: {printable(f'{logged.method} {logged.url}', 120)}"]
