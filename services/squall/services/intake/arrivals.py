"""The tasks of a run that come in while it runs, on disk: each once, and which messages wait for an answer.

    message ──► keep ──► new ───────► offered ──► accepted ──► its message is acknowledged ──► forgotten
                  ├────► repeated ──► once the first of its id is accepted
                  ├────► ended in an earlier run ──► at once
                  └────► of the id of an earlier one, and differs from it ──► set aside

Of what comes on a subject the producer alone writes here, and the command reads what tasks are called. Of
what comes through a pipe (`piped.py`) the command writes the tasks, and the producer how far it has come. A
producer that was killed finds what it held.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import msgspec

from squall.services import jsonl
from squall.services.intake.earlier import ended
from squall.services.intake.records import Record, task_name
from squall.services.intake.source import LINE_BYTES_MAX
from squall.services.intake.store import COLUMNS, SCHEMA, Stored, Taken, keep
from squall.services.run.directory import SET_ASIDE, TASKS, RunDirectory, open_private, writing

_MORE = """
    CREATE TABLE accepted (task TEXT PRIMARY KEY) WITHOUT ROWID;
    CREATE TABLE held (sequence INTEGER PRIMARY KEY, task TEXT NOT NULL, reply TEXT NOT NULL);
    CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


WRITER_S = 60.0
"""How long one process waits for another one that writes, which takes a moment unless that stands still."""

STREAM = "stream"
"""The fact that says which stream carries the tasks."""


class Held(NamedTuple):
    """A message of a stream that is not acknowledged yet.

    Attributes:
        sequence: Its place in the stream.
        task: The task that it is.
        reply: Where its acknowledgement goes.
    """

    sequence: int
    task: str
    reply: str


def begin(run: RunDirectory, results: Path | None = None) -> None:
    """Make a run ready to take tasks in, while it runs.

    Args:
        results: Of earlier runs; a task that has ended by these is not offered again.

    Raises:
        SpecError: What is there are no results.
        DiskError: The run's directory cannot be written to.
    """
    folder = run.path
    run.brings_tasks()
    with writing(folder):
        open_private(folder / TASKS, "wb").close()
        with contextlib.closing(_opened(folder)) as database:
            database.executescript(SCHEMA + _MORE)
            if results is not None:
                database.execute("BEGIN")
                database.executemany("INSERT OR IGNORE INTO ended VALUES (?, ?)", ended(results))
                database.execute("COMMIT")


def _opened(folder: Path) -> sqlite3.Connection:
    database = sqlite3.connect(folder / TASKS, timeout=WRITER_S, isolation_level=None)
    # The command reads beside it; what was written outlives a kill of this process, if not of the machine.
    database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;")
    return database


class Arrivals:
    """What has come in, for a process that writes it, inside the block.

    Args:
        folder: The run's directory.

    Attributes:
        tasks: How many there are.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self._database = _opened(self._folder)
        self.tasks = self._count("tasks")
        self._aside = {each.sequence for each in _set_aside(self._folder) if each.sequence is not None}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()

    def _count(self, table: str) -> int:
        (count,) = self._database.execute(f"SELECT count(*) FROM {table}").fetchone()
        return int(count)

    def fact(self, name: str, value: str = "") -> str:
        """What is kept under a name; if nothing is, and there is a value, that is from now on."""
        if value:
            self._database.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, value))
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return str(row[0]) if row is not None else ""

    def note(self, name: str, value: str) -> None:
        """Keep a value under a name, from now on, whatever was there."""
        self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def add(self, name: str, count: int = 1) -> None:
        """Count something, over all processes of the run."""
        self._database.execute(
            "INSERT INTO facts VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
            (name, str(count)),
        )

    def keep(self, record: Record, able: Collection[str] = (), *, sequence: int = 0, reply: str = "") -> str:
        """Keep a record, and with it the message of a stream that it came in; what it is, see `store.keep`.

        Args:
            able: The capabilities of all agents.

        Raises:
            RecordError: It has the id of an earlier one, and differs from it; or nobody can do what it needs.
        """
        # Who reads first and then writes is refused, without waiting, where another process wrote in between.
        self._database.execute("BEGIN IMMEDIATE")
        try:
            kept = keep(self._database, record, able)
            if sequence and kept in ("new", "repeated"):
                self._database.execute(
                    "INSERT OR REPLACE INTO held VALUES (?, ?, ?)", (sequence, task_name(record.id), reply)
                )
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")
        self.tasks += kept == "new"
        return kept

    def task(self, task: str) -> Stored:
        """One of them, as it is offered."""
        row = self._database.execute(f"SELECT {COLUMNS} FROM tasks WHERE task = ?", (task,)).fetchone()
        return Stored(*row)

    def after(self, place: int, most: int) -> list[tuple[int, Stored]]:
        """Those that come behind a place, in their order, each with its own place; the first is 1."""
        rows = self._database.execute(
            f"SELECT place, {COLUMNS} FROM tasks WHERE place > ? ORDER BY place LIMIT ?", (place, most)
        )
        return [(where, Stored(*row)) for where, *row in rows]

    def accept(self, task: str) -> None:
        """Note that the swarm has a task."""
        self._database.execute("INSERT OR IGNORE INTO accepted VALUES (?)", (task,))

    def has(self, task: str) -> bool:
        """Whether the swarm has a task, as far as was noted."""
        return self._database.execute("SELECT 1 FROM accepted WHERE task = ?", (task,)).fetchone() is not None

    def held(self) -> list[Held]:
        """Messages that are not acknowledged yet, in their order."""
        return [Held(*row) for row in self._database.execute("SELECT * FROM held ORDER BY sequence")]

    def let_go(self, sequence: int) -> None:
        """Forget a message: it was acknowledged."""
        self._database.execute("DELETE FROM held WHERE sequence = ?", (sequence,))

    def keys(self) -> list[tuple[str, str]]:
        """The keys of all tasks, as the swarm calls them, each with what tasks of it need."""
        found = self._database.execute("SELECT DISTINCT key, needs FROM tasks ORDER BY key, needs")
        return [(key, needs) for key, needs in found]

    def set_aside(self, text: bytes, sequence: int | None, reason: str) -> None:
        """Keep what no task can be made of; done again with the same message, it changes nothing.

        Raises:
            DiskError: It cannot be written.
        """
        if sequence is not None and sequence in self._aside:
            return
        line = {
            "sequence": sequence,
            "reason": reason,
            "record": text[:LINE_BYTES_MAX].decode(errors="replace"),
        }
        with writing(self._folder), open_private(self._folder / SET_ASIDE, "ab") as file:
            file.write(msgspec.json.encode(line) + b"\n")
        if sequence is not None:
            self._aside.add(sequence)


class _Aside(msgspec.Struct):
    sequence: int | None
    reason: str


_aside = msgspec.json.Decoder(_Aside)


def _set_aside(folder: Path) -> Iterator[_Aside]:
    """What is set aside in a run; a last line that was written in part is none."""
    with contextlib.suppress(FileNotFoundError), (folder / SET_ASIDE).open("rb") as file:
        for line in jsonl.lines(file):
            with contextlib.suppress(msgspec.DecodeError):
                yield jsonl.decode(_aside, line or b"")


class Arrived(NamedTuple):
    """What came in during a run.

    Attributes:
        taken: What became of it, as `take_in` tells it.
        dropped: Messages that came faster than they were taken, of a subject that no stream carries.
    """

    taken: Taken
    dropped: int


def arrived(folder: Path) -> Arrived:
    """What came in during a run that has ended."""
    with contextlib.closing(sqlite3.connect(f"file:{folder / TASKS}?mode=ro", uri=True)) as database:
        (tasks,) = database.execute("SELECT count(*) FROM tasks").fetchone()
        facts = dict(database.execute("SELECT name, value FROM facts"))
    number, first = 0, ""
    for each in _set_aside(folder):
        number += 1
        where = f"message {each.sequence}" if each.sequence is not None else "a message"
        first = first or f"{where} {each.reason}"
    taken = Taken(tasks, int(facts.get("ended", 0)), int(facts.get("repeated", 0)), number, first)
    return Arrived(taken, int(facts.get("dropped", 0)))
