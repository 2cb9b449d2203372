"""Ends the children of a process that is gone, and what any child leaves behind. A script; see `guard.py`.

    parent ──"+PID NUMBER", "-PID"──► stdin ──► here ──(end of file: the parent is gone)──► SIGKILL

Standard library only, and started without site-packages, so that it is there in
milliseconds and nothing that is installed can break it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

MARK = "SQUALL_GUARD"
"""The variable that tells whose a process is: ``GUARD.NUMBER`` of the child that it descends from. A guard
within a child of another appends its own, so there may be several, with colons between them."""

PASSES_MAX = 100
"""Looks for processes with a mark; what they start meanwhile is found by the next look."""


def seal() -> None:
    """Keep this process's memory and descriptors from other processes of its user, and out of core files.

    Linux alone has the first. The superuser may look all the same, and so may whatever runs in this process.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            pr_set_dumpable = 4
            ctypes.CDLL(None, use_errno=True).prctl(pr_set_dumpable, 0, 0, 0, 0)


def hold(pid: int) -> int | None:
    """A handle that keeps meaning this process though its number is given to another, where there are such.

    Raises:
        ProcessLookupError: It is gone already.
    """
    return os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None


def kill(pid: int, handle: int | None) -> None:
    """Kill a process, and what it started in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if handle is not None:
            signal.pidfd_send_signal(handle, 0)  # gone already: its number may be another's
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if handle is not None:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        else:
            os.kill(pid, signal.SIGKILL)


def kill_marked(marks: set[bytes]) -> None:
    """Kill every process that descends from a child with one of these marks, where /proc tells."""
    for _ in range(PASSES_MAX):
        found = False
        for pid in _others():
            with contextlib.suppress(OSError):
                handle = hold(pid)
                try:
                    if marks & _marks_of(pid):
                        found = True
                        if handle is not None:
                            signal.pidfd_send_signal(handle, signal.SIGKILL)
                        else:
                            os.kill(pid, signal.SIGKILL)
                finally:
                    if handle is not None:
                        os.close(handle)
        if not found:
            return


def _others() -> Iterator[int]:
    with contextlib.suppress(OSError):
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                yield int(entry.name)


def _marks_of(pid: int) -> set[bytes]:
    """The marks in the environment that a process was started with, each also without its number."""
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    before = MARK.encode() + b"="
    marks = next((v[len(before) :] for v in environment.split(b"\0") if v.startswith(before)), b"")
    return {part for mark in marks.split(b":") if mark for part in (mark, mark.partition(b".")[0])}


def main() -> None:
    # What ends the parent, a Ctrl-C for instance, must not end its guard before it.
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    seal()
    own = sys.argv[1].encode()
    held: dict[int, int | None] = {}
    marks: dict[int, bytes] = {}
    with open(0, "rb", buffering=0) as told:
        rest = b""
        while data := told.read(4096):
            *lines, rest = (rest + data).split(b"\n")
            ended = set()
            for line in lines:
                number, _, mark = line[1:].partition(b" ")
                pid = int(number)
                previous = held.pop(pid, None)
                if previous is not None:
                    os.close(previous)
                if pid in marks:
                    ended.add(marks.pop(pid))
                if line.startswith(b"+"):
                    marks[pid] = own + b"." + mark
                    with contextlib.suppress(ProcessLookupError):
                        held[pid] = hold(pid)
            if ended:
                kill_marked(ended)
    for pid, handle in held.items():
        kill(pid, handle)
    kill_marked({own})


if __name__ == "__main__":
    main()
