"""The two pipes between a node and whoever started it, seen from the node.

    parent ──► orders, a line each ──► node ──► answers, a line each ──► parent

They were the node's standard input and output, and are kept where nothing that the node runs finds them by
accident: standard input is empty, standard output goes to the log, and neither a program that a handler
starts nor a process that it forks has the pipes. Code of the node's own process can still find them; so the
parent takes an answer for a claim (see `launch/processes.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from squall.services.node.printed import WholeLines
from squall.services.node.service import Alive, Answer

LINE_BYTES_MAX = 256 * 1024
"""Of an order or an answer; a longer one is no order."""

ORPHANED = 70
"""Exit status of a node whose parent is gone."""

FORKED = 72
"""Exit status of a process that a handler forked, and that would have gone on as a node."""


class Lines:
    """Cuts what arrives into lines, and never keeps more than one may have."""

    def __init__(self, bytes_max: int = LINE_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._rest = b""
        self._too_long = False

    def feed(self, data: bytes) -> list[bytes | None]:
        """The lines that end in this piece, without their ends; None for one that is too long."""
        *ends, rest = data.split(b"\n")
        lines: list[bytes | None] = []
        for end in ends:
            line = self._rest + end
            lines.append(None if self._too_long or len(line) > self._bytes_max else line)
            self._rest, self._too_long = b"", False
        self._rest += rest
        if len(self._rest) > self._bytes_max:
            self._rest, self._too_long = b"", True
        return lines


class Control:
    """A node's end of both pipes. Made by `claim`."""

    def __init__(self, orders: int, answers: int) -> None:
        self._orders = orders
        self._answers = answers
        self._lines = Lines()
        self._waiting: list[bytes | None] = []

    @classmethod
    def claim(cls) -> Control:
        """Take standard input and output away from whatever this process runs later."""
        control = cls(os.dup(0), os.dup(1))  # neither is inherited by a program that is started
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        os.register_at_fork(after_in_child=control.close)
        for name in ("stdout", "stderr"):
            # What a handler prints is in the log at once, and printing never fails for what it is.
            stream = getattr(sys, name)
            stream.reconfigure(line_buffering=True, errors="backslashreplace")
            setattr(sys, name, WholeLines(stream))
        return control

    def close(self) -> None:
        """Let go of the pipes. A process that a handler forks does so first of all."""
        for descriptor in (self._orders, self._answers):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def lines(self) -> Iterator[bytes | None]:
        """Wait for lines, until the parent is gone; None for one that is too long to be an order."""
        while True:
            while self._waiting:
                yield self._waiting.pop(0)
            try:
                data = os.read(self._orders, 64 * 1024)
            except OSError:
                return
            if not data:
                return
            self._waiting += self._lines.feed(data)

    def answer(self, answer: Answer) -> None:
        """Tell the parent. Without one, this process ends."""
        data = msgspec.json.encode(answer) + b"\n"
        try:
            while data:
                data = data[os.write(self._answers, data) :]
        except OSError:
            os._exit(ORPHANED)

    def alive(self) -> None:
        """Tell the parent that the loop turns, if it has room to hear it."""
        _, writable, _ = select.select([], [self._answers], [], 0)
        if writable:
            self.answer(Alive())


def end_loop_at_fork(loop: asyncio.AbstractEventLoop) -> None:
    """Have every process that is forked from this one end where it comes back to this loop.

    It would be a second node of the same name. What a forked process does without coming back, a loop of its
    own included, it may do.
    """

    def end() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon(os._exit, FORKED)

    os.register_at_fork(after_in_child=end)


def leave_broker_at_fork(url: str) -> None:
    """Have every process that is forked from this one close its copies of the connections to a broker.

    With a copy left open the broker would not notice the end of this node. Linux only; elsewhere the copies
    stay until the forked process ends, which it does with the node.
    """
    port = urlsplit(url).port

    def close() -> None:
        for descriptor in _descriptors():
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode) and _peer_port(descriptor) == port:
                    os.close(descriptor)

    if port is not None:
        os.register_at_fork(after_in_child=close)


def _peer_port(descriptor: int) -> int | None:
    """The port at the other end of a socket; None if it has none."""
    looked_at = socket.socket(fileno=descriptor)
    try:
        is_internet = looked_at.family in (socket.AF_INET, socket.AF_INET6)
        return int(looked_at.getpeername()[1]) if is_internet else None
    finally:
        looked_at.detach()


def _descriptors() -> list[int]:
    try:
        return [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]
    except OSError:
        return []
