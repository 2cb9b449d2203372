"""The directory of one run: what it holds is all that is needed to judge the run again.

spec.toml  nodes.jsonl  history.jsonl  faults.jsonl  venue.sqlite  result.json  junit.xml  logs/<node>.log
tasks.sqlite  set-aside.jsonl    of a user's own tasks: what is offered, and what no task could be made of
broker/    the private broker's store, while the run lasts
containers/<node>/    what a node that is a container writes
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from squall.bus.errors import first_error
from squall.services.errors import DiskError, SpecError
from squall.services.run.spec import Spec

FILES = ("spec.toml", "nodes.jsonl", "history.jsonl", "faults.jsonl")
"""What is there from the beginning."""

TASKS = "tasks.sqlite"
SET_ASIDE = "set-aside.jsonl"
"""Of a user's own tasks."""

FREE_BYTES_MIN = 256 * 1024**2
"""What a run may need: the broker's store, the venue's journal, the history."""


FREE_BYTES_RESERVE = 32 * 1024**2
"""With less a run is given up: what runs into a full disk fails in the middle of its writing."""

LOG_BYTES_MAX = 16 * 1024**2
LOG_BYTES_KEPT = 1024**2
"""A node's log that passes the first is cut to the second: what a handler prints must not fill the disk."""


def open_private(path: Path, mode: Literal["ab", "wb"]) -> BinaryIO:
    """Open a file for writing; if it is made here, then for this user alone."""
    buffering = 0 if mode == "ab" else -1  # a line that is appended is one write
    return open(path, mode, buffering=buffering, opener=lambda name, flags: os.open(name, flags, 0o600))


class RunDirectory:
    """Made by `claim`.

    Attributes:
        path: The directory.
        id: The run's name.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.id = path.name
        self.history = path / "history.jsonl"
        self.nodes = path / "nodes.jsonl"
        self.venue = path / "venue.sqlite"
        self.tasks = path / TASKS
        self.logs = path / "logs"
        self.broker = path / "broker"
        self.containers = path / "containers"
        self._files: list[str] = list(FILES)

    def keep(self, file: str, text: str) -> None:
        """Write a file that tells what the run is to be; it goes with the run, should that be refused.

        Raises:
            DiskError: It cannot be written.
        """
        self._files.append(file)
        with writing(self.path):
            (self.path / file).write_text(text)

    def brings_tasks(self) -> None:
        """A user's own tasks are kept here; they go with the run, should that be refused."""
        self._files += [TASKS, SET_ASIDE]

    def with_tasks(self, spec: Spec, tasks: int) -> Spec:
        """The spec with as many tasks as a user has brought, which is written down anew.

        Raises:
            DiskError: It cannot be written.
        """
        spec = msgspec.structs.replace(spec, tasks=tasks)
        self.brings_tasks()
        self.keep("spec.toml", spec.toml())
        return spec

    def leave_nothing(self) -> None:
        """Remove what was made of a run, unless a node of it was started."""
        with contextlib.suppress(OSError):  # it must not hide why the run was refused
            if not self.nodes.stat().st_size:
                shutil.rmtree(self.logs)
                for name in self._files:
                    (self.path / name).unlink(missing_ok=True)

    def append(self, file: str, **facts: Any) -> None:
        """Append one line to ``nodes.jsonl`` or ``faults.jsonl``."""
        line = msgspec.json.encode(facts) + b"\n"
        with writing(self.path), open_private(self.path / file, "ab") as lines:
            lines.write(line)

    def check_room(self) -> None:
        """See that there is room to go on.

        Raises:
            DiskError: The disk is as good as full.
        """
        if shutil.disk_usage(self.path).free < FREE_BYTES_RESERVE:
            raise DiskError(f"the disk of {self.path} is full", "free some room, or name another --out")

    def cut_logs(self) -> list[str]:
        """Cut logs that are too long; their names. Each keeps its beginning, and what is yet to come."""
        return [path.name for path in self.logs.glob("*.log") if _cut(path)]


def _cut(log: Path) -> bool:
    """Cut a log if it is too long. Its writers append, so they go on at its new end."""
    try:
        # A handler may have put anything there, a link to a file of the user's for instance.
        file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1 or found.st_size <= LOG_BYTES_MAX:
            return False
        os.ftruncate(file, LOG_BYTES_KEPT)
        os.write(file, b"\n(it was too long: what stood here is cut out)\n")
        return True
    except OSError:
        return False
    finally:
        os.close(file)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Translate what the file system says into one sentence.

    Raises:
        DiskError: It said no.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskError(f"the disk of {path} is full", "free some room, or name another --out") from error
        raise DiskError(f"{path} cannot be written: {error.strerror}", "name another with --out") from error


def replace(path: Path, content: bytes) -> None:
    """Write a file whole, or leave it as it was.

    Raises:
        OSError: It cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open_private(beside, "wb") as file:
            file.write(content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def make(path: Path) -> list[Path]:
    """Make a folder, and those above it; those that were not there, the innermost first.

    Raises:
        DiskError: It cannot be made.
    """
    missing = [each for each in (path, *path.parents) if not each.exists()]
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
    return missing


def unmake(folders: Iterable[Path]) -> None:
    """Remove folders that `make` made, if nothing is in them."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


@contextlib.contextmanager
def claim(spec: Spec, out: Path | None) -> Iterator[RunDirectory]:
    """Make a run's directory and hold it until the block ends.

    If the block ends because of unusable input, before any node was started, nothing is left of it: once that
    is corrected, the same command can be given again.

    Args:
        out: The directory, which must be new or empty; None makes ``runs/<id>``.

    Raises:
        SpecError: It holds a run, or another run is using it, or the disk is too full to begin.
    """
    path = (out or Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}").absolute()
    try:
        with writing(path):
            made = make(path)
            path.chmod(0o700)  # orders, inputs and reasons of a user's tasks are in here
            lock = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except DiskError as error:
        raise SpecError(str(error), error.remedy) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SpecError(f"another run is using {path}", "wait for it, or name another --out") from error
        if any(entry.name != "lock" for entry in path.iterdir()):
            raise SpecError(f"{path} is not empty", "name a new directory with --out, or remove it")
        free = shutil.disk_usage(path).free
        if free < FREE_BYTES_MIN:
            raise SpecError(
                f"{path} has {free // 1024**2} MiB free and a run may need {FREE_BYTES_MIN // 1024**2}",
                "free some room, or name another --out",
            )
        run = RunDirectory(path)
        try:
            with writing(path):
                run.logs.mkdir(mode=0o700)
                for name in FILES:
                    (path / name).touch(mode=0o600)
                (path / "spec.toml").write_text(spec.toml())
        except DiskError as error:
            raise SpecError(str(error), error.remedy) from error
        try:
            yield run
        except (SpecError, BaseExceptionGroup) as error:
            if isinstance(first_error(error), SpecError):
                run.leave_nothing()
            raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            (path / "lock").unlink()
        os.close(lock)
        unmake(made)


def is_in_use(path: Path) -> bool:
    """Whether the command that runs what is in a directory is alive: it may be starting, or ending."""
    try:
        lock = os.open(path / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False
