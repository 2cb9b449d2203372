"""What comes through the command's standard input, kept on disk as it comes, for as long as a swarm runs.

    pipe ──► a thread of the command ──► tasks.sqlite ──► the producer, in this order (`roles/following.py`)
               │   └──► set-aside.jsonl                         │
               └── waits while it is far ahead ◄── how far ─────┘

The producer may be killed at any time, and what it had read of a pipe would be lost with it; so it reads none
itself. What is not read stays in the pipe, whose writer waits: nothing but the record at hand is in memory.
"""

from __future__ import annotations

import io
import os
import select
import sys
import threading
from collections.abc import Collection
from pathlib import Path
from types import TracebackType
from typing import Self

from squall.services.errors import SpecError
from squall.services.intake import source
from squall.services.intake.arrivals import Arrivals
from squall.services.intake.records import RecordError
from squall.services.intake.source import STDIN, Read, shown
from squall.services.intake.store import EXAMPLE, Taken, line_of
from squall.services.run.directory import SET_ASIDE, open_private, writing

ENDED = "ended_reading"
"""The fact that nothing more comes: what is kept is all there is."""

PASSED = "passed"
"""The fact that says up to which place the producer has done with every task."""

AHEAD_MAX = 1024
"""Tasks that are kept and that the producer has not done with. Higher lets it be offered more a second; lower
leaves more in the pipe when the run is ended, where its writer may have it."""

BUFFER_BYTES = 64 * 1024

LOOK_S = 0.05

BEGIN_S = 0.5
"""How long the first task is waited for before there is a swarm: what ends at once, and holds none, needs
none."""


class Piped:
    """Reads it inside the block.

    Args:
        folder: The run's directory, in which it was begun; see `arrivals.begin`.
        tasks_max: After so many tasks no more is read.
        able: The capabilities of all agents.
        file: What is read; None for the standard input.

    Attributes:
        taken: What became of it so far.
    """

    def __init__(
        self, folder: Path, tasks_max: int, able: Collection[str] = (), file: int | None = None
    ) -> None:
        self._folder = folder
        self._tasks_max = tasks_max
        self._able = able
        self._file = file
        self._known = threading.Event()  # that there is a task, or none to come
        self._stopped = threading.Event()
        self._is_all = False
        self._error: BaseException | None = None
        self.taken = Taken(tasks=0)

    def __enter__(self) -> Self:
        if self._file is None and sys.stdin is None:
            raise SpecError(f"{shown(STDIN)} is closed", "give the tasks through a pipe, or name a file")
        self._awake, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._run, name="pipe", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Read no more. Done again, it changes nothing."""
        if not self._stopped.is_set():
            self._stopped.set()
            os.close(self._wake)  # which is seen where the pipe is waited for
            self._thread.join()
            os.close(self._awake)

    def holds_none(self, within_s: float) -> bool:
        """Wait for a first task; whether it is known that there is none."""
        return self._known.wait(within_s) and not self.taken.tasks

    def check(self) -> None:
        """See that what was read was read well, and holds a task, or held one that ended in an earlier run.

        Raises:
            SpecError: It could not be read to its end, or holds none.
            DiskError: It cannot be kept.
        """
        if self._error is not None:
            raise self._error
        if self._is_all and not self.taken.tasks and not self.taken.ended:
            why = f": {self.taken.first}" if self.taken.first else ""
            raise SpecError(f"{shown(STDIN)} holds no task{why}", EXAMPLE)

    def _run(self) -> None:
        try:
            with Arrivals(self._folder) as arrivals:
                try:
                    self._is_all = self._read(arrivals)
                finally:
                    arrivals.note(ENDED, "1")
        except OSError as error:
            self._error = SpecError(f"{shown(STDIN)} cannot be read: {error.strerror}")
        except BaseException as error:
            self._error = error
        finally:
            self._known.set()

    def _read(self, arrivals: Arrivals) -> bool:
        """Read to the end, or for as long as it may; whether it came to an end."""
        file = sys.stdin.fileno() if self._file is None else self._file
        passed = 0
        for each in source.lines(io.BufferedReader(_Pipe(file, self._awake), BUFFER_BYTES)):
            if self._stopped.is_set():
                return False  # the line may be a part of one
            self._keep(arrivals, each)
            if self.taken.tasks == self._tasks_max:
                return True
            while self.taken.tasks - passed >= AHEAD_MAX:
                passed = int(arrivals.fact(PASSED) or 0)
                if self.taken.tasks - passed >= AHEAD_MAX and self._stopped.wait(LOOK_S):
                    return False
        return not self._stopped.is_set()

    def _keep(self, arrivals: Arrivals, each: Read) -> None:
        taken, reason = self.taken, each.reason
        if each.record is not None:
            try:
                kept = arrivals.keep(each.record, self._able)
            except RecordError as error:
                reason = str(error)
            else:
                taken = taken._replace(
                    tasks=taken.tasks + (kept == "new"),
                    ended=taken.ended + (kept == "ended"),
                    repeated=taken.repeated + (kept == "repeated"),
                )
        if reason:
            with writing(self._folder), open_private(self._folder / SET_ASIDE, "ab") as file:
                file.write(line_of(each, reason))
            taken = taken._replace(aside=taken.aside + 1, first=taken.first or f"line {each.line} {reason}")
        self.taken = taken
        if taken.tasks:
            self._known.set()


class _Pipe(io.RawIOBase):
    """A file that can be left while it is waited for: it ends then.

    Args:
        left: Readable, or closed at its other end, once it is to be left.
    """

    def __init__(self, file: int, left: int) -> None:
        self._file = file
        self._left = left
        self._waiting = select.poll()
        self._waiting.register(file, select.POLLIN)
        self._waiting.register(left, select.POLLIN)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview, /) -> int:  # type: ignore[override]
        while True:
            ready = dict(self._waiting.poll())
            if self._left in ready:
                return 0
            try:
                return os.readv(self._file, [buffer])
            except BlockingIOError:
                continue  # somebody else reads of it too
