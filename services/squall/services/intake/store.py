"""The tasks of a run that a user brought, on disk: each once, in the order in which they were read."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from squall.bus.border import printable
from squall.services.errors import SpecError
from squall.services.intake.earlier import ended
from squall.services.intake.records import Record, RecordError, check_needs, digest, key_name, task_name
from squall.services.intake.source import STDIN, Read, read, shown
from squall.services.intake.subject import comes_in
from squall.services.run.directory import SET_ASIDE, TASKS, RunDirectory, open_private, writing
from squall.services.run.spec import Spec

TASKS_MAX = 10_000_000

SCHEMA = """
    CREATE TABLE tasks (
        place INTEGER PRIMARY KEY,
        task TEXT NOT NULL UNIQUE,
        id TEXT NOT NULL,
        key TEXT NOT NULL,
        named TEXT NOT NULL,
        number INTEGER NOT NULL,
        deadline_s REAL NOT NULL,
        body BLOB NOT NULL,
        needs TEXT NOT NULL
    );
    CREATE TABLE keys (key TEXT PRIMARY KEY, tasks INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE ended (id TEXT PRIMARY KEY, input TEXT NOT NULL) WITHOUT ROWID;
"""


EXAMPLE = 'a task is a line as {"key": "AAPL", "body": {"side": "buy"}}'


COLUMNS = "task, id, key, named, number, deadline_s, body, needs"
"""Of a task as it is offered; see `Stored`."""


class Stored(msgspec.Struct, frozen=True):
    """One task, as it is offered.

    Attributes:
        task, key: As the swarm calls them.
        id, named: As its user calls the two.
        number: Its place within its key, from 1.
        deadline_s: In seconds since the epoch; 0 is the swarm's own.
        body: JSON.
        needs: The capability that it needs; empty where none is named.
    """

    task: str
    id: str
    key: str
    named: str
    number: int
    deadline_s: float
    body: bytes
    needs: str = ""


class Taken(NamedTuple):
    """What became of a source.

    Attributes:
        tasks: How many there are to offer.
        ended: Records of tasks that ended in an earlier run.
        repeated: Records that were there before, word for word.
        aside: Records of which no task can be made.
        first: Why not, of the first of them: ``line 3 has no key``.
    """

    tasks: int
    ended: int = 0
    repeated: int = 0
    aside: int = 0
    first: str = ""


def taken_in(spec: Spec, directory: RunDirectory, *, results: Path | None = None) -> tuple[Spec, Taken]:
    """The spec with all tasks that its user brings, which are in its directory then; and what became of each.

    Raises:
        SpecError, DiskError: As `take_in` does.
    """
    taken = take_in(spec.tasks_from, directory.path, tasks_max=spec.tasks, able=spec.able, results=results)
    return directory.with_tasks(spec, taken.tasks), taken


def take_in(
    source: str,
    folder: Path,
    *,
    tasks_max: int = TASKS_MAX,
    able: Collection[str] = (),
    results: Path | None = None,
) -> Taken:
    """Read a source to its end, or until there are so many tasks, and keep them in a folder.

    Nothing of it is left there if it cannot be read.

    Args:
        able: The capabilities of all agents.
        results: Of earlier runs; a task that has ended by these is not offered again.

    Raises:
        SpecError: It cannot be read, or there is no task in it; or what is there are no results.
        DiskError: The folder cannot be written to.
    """
    try:
        with writing(folder):
            taken = _take(source, folder, tasks_max, able, results)
        if not taken.tasks and not taken.ended:
            why = f": {taken.first}" if taken.first else ""
            raise SpecError(f"{shown(source)} holds no task{why}", EXAMPLE)
    except BaseException:
        for name in (TASKS, SET_ASIDE):
            (folder / name).unlink(missing_ok=True)
        raise
    if not taken.aside:
        (folder / SET_ASIDE).unlink()
    return taken


def count(spec: Spec) -> int:
    """How many tasks a spec's user brings; they are read to be counted, and once more for each run.

    Raises:
        SpecError: They cannot be read, or only once.
    """
    if comes_in(spec.tasks_from):
        raise SpecError(
            f"what comes in on {shown(spec.tasks_from)} comes once, and a series runs it several times",
            "write the tasks to a file, and name that",
        )
    if spec.tasks_from == STDIN:
        raise SpecError(
            "what comes through a pipe can be run once, and a series runs it several times",
            "write the tasks to a file, and name that",
        )
    with tempfile.TemporaryDirectory(prefix="squall-") as folder:
        return take_in(spec.tasks_from, Path(folder), tasks_max=spec.tasks, able=spec.able).tasks


def _take(source: str, folder: Path, tasks_max: int, able: Collection[str], results: Path | None) -> Taken:
    tasks = before = repeated = aside = 0
    first = ""
    with _made(folder / TASKS) as database, open_private(folder / SET_ASIDE, "wb") as file:
        if results is not None:
            database.executemany("INSERT OR IGNORE INTO ended VALUES (?, ?)", ended(results))
        for each in read(source):
            if tasks == tasks_max:
                break
            reason = each.reason
            if each.record is not None:
                try:
                    kept = keep(database, each.record, able)
                except RecordError as error:
                    reason = str(error)
                else:
                    tasks += kept == "new"
                    before += kept == "ended"
                    repeated += kept == "repeated"
            if reason:
                aside += 1
                first = first or f"line {each.line} {reason}"
                file.write(line_of(each, reason))
    return Taken(tasks, before, repeated, aside, first)


@contextlib.contextmanager
def _made(path: Path) -> Iterator[sqlite3.Connection]:
    open_private(path, "wb").close()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;" + SCHEMA)
        database.execute("BEGIN")
        yield database
        database.execute("DROP TABLE keys")
        database.execute("DROP TABLE ended")
        database.execute("COMMIT")


def keep(database: sqlite3.Connection, record: Record, able: Collection[str] = ()) -> str:
    """Keep a record, if it is ``new``; else it had ``ended``, or is ``repeated`` word for word.

    Args:
        able: The capabilities of all agents.

    Raises:
        RecordError: It has the id of an earlier one, and differs from it; or nobody can do what it needs.
    """
    check_needs(record, able)
    other = RecordError(f"has the id {printable(record.id, 60)!r} of an earlier one, and differs from it")
    earlier = database.execute("SELECT input FROM ended WHERE id = ?", (record.id,)).fetchone()
    if earlier is not None:
        if earlier != (digest(record.key, record.body),):
            raise other
        return "ended"
    task, key = task_name(record.id), key_name(record.key)
    before = database.execute("SELECT named, body FROM tasks WHERE task = ?", (task,)).fetchone()
    if before is not None:
        if before != (record.key, record.body):
            raise other
        return "repeated"
    (number,) = database.execute(
        "INSERT INTO keys VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET tasks = tasks + 1 RETURNING tasks",
        (key,),
    ).fetchone()
    database.execute(
        f"INSERT INTO tasks ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (task, record.id, key, record.key, number, record.deadline_s, record.body, record.needs),
    )
    return "new"


def line_of(each: Read, reason: str) -> bytes:
    text = each.text.decode(errors="replace")
    return msgspec.json.encode({"line": each.line, "reason": reason, "record": text}) + b"\n"


def stored(path: Path) -> Iterator[Stored]:
    """The tasks of a run, in the order in which they are offered."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        for row in database.execute(f"SELECT {COLUMNS} FROM tasks ORDER BY place"):
            yield Stored(*row)


class Named(NamedTuple):
    """What a user calls a task.

    Attributes:
        id, key: Empty where a task is no user's.
        input: A digest of what it is asked.
    """

    id: str
    key: str = ""
    input: str = ""


class Names:
    """What a user calls the tasks of a run, for as long as the block lasts."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> Self:
        self._database = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def of(self, task: str) -> Named:
        """What a task is called; of one that is none of these, its name and nothing else."""
        row = self._database.execute("SELECT id, named, body FROM tasks WHERE task = ?", (task,)).fetchone()
        if row is None:
            return Named(task)
        identity, key, body = row
        return Named(identity, key, digest(key, body))
