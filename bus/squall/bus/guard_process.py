"""Ends the children of a process that is gone. A script of its own; see `guard.py`.

    parent ──"+PID", "-PID"──► stdin ──► here ──(end of file: the parent is gone)──► SIGKILL

Standard library only, and started without site-packages, so that it is there in
milliseconds and nothing that is installed can break it.
"""

from __future__ import annotations

import contextlib
import os
import signal


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


def main() -> None:
    # What ends the parent, a Ctrl-C for instance, must not end its guard before it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    held: dict[int, int | None] = {}
    with open(0, "rb", buffering=0) as told:
        rest = b""
        while data := told.read(4096):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                pid = int(line[1:])
                previous = held.pop(pid, None)
                if previous is not None:
                    os.close(previous)
                if line.startswith(b"+"):
                    with contextlib.suppress(ProcessLookupError):
                        held[pid] = hold(pid)
    for pid, handle in held.items():
        kill(pid, handle)


if __name__ == "__main__":
    main()
