"""A finished run's directory, to be left as a weaker harness would have left it: all its counts agree again.

Who loses lines before they are counted, or injects nothing and says that it did, leaves nothing that does not
add up. So a line that is taken out here is taken out of every count as well.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

Line = dict[str, Any]

BROKER = shutil.ignore_patterns("broker")
"""What no verdict looks at, and what is large."""


class Doctored:
    """A copy of a run.

    Attributes:
        path: Its directory.
        lines: Of its history.
        nodes, faults, counters: Of the files that are named so.
    """

    def __init__(self, run: Path, folder: Path) -> None:
        self.path = folder / run.name
        shutil.copytree(run, self.path, ignore=BROKER)
        self.lines = self._read("history")
        self.nodes = self._read("nodes")
        self.faults = self._read("faults")
        self.counters = self._read("counters")

    def _read(self, name: str) -> list[Line]:
        path = self.path / f"{name}.jsonl"
        return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []

    def of(self, op: str, **facts: Any) -> list[Line]:
        """The lines of an operation, with these facts."""
        return [at for at in self.lines if at["op"] == op and all(at.get(k) == v for k, v in facts.items())]

    def drop(self, unwanted: Callable[[Line], bool]) -> int:
        """Take lines out; how many."""
        before = len(self.lines)
        self.lines = [line for line in self.lines if not unwanted(line)]
        return before - len(self.lines)

    def drop_tasks(self, tasks: Iterable[str]) -> None:
        """Take out whatever is written of some tasks, what the venue has of them included."""
        gone = set(tasks)
        self.drop(lambda line: line.get("task") in gone)
        for line in self.of("final", what="ingress"):
            line["stored"] -= len(gone)
        orders = [(f"{task}-0",) for task in gone]
        self.books("DELETE FROM fills WHERE order_id = ?", orders)
        self.books("DELETE FROM journal WHERE order_id = ?", orders)
        self.books("UPDATE journal SET seq = (SELECT COUNT(*) FROM journal b WHERE b.seq <= journal.seq)")

    def books(self, statement: str, values: Iterable[tuple[Any, ...]] = ((),)) -> None:
        """Change the venue's books."""
        with closing(sqlite3.connect(self.path / "venue.sqlite")) as database, database:
            database.executemany(statement, values)

    def filled(self, side: str) -> list[str]:
        """The tasks whose one order has a side, in the order of their fills."""
        asked = "SELECT order_id FROM fills WHERE side = ? AND order_id LIKE '%-0' ORDER BY time_s"
        with closing(sqlite3.connect(self.path / "venue.sqlite")) as database:
            return [order_id.removesuffix("-0") for (order_id,) in database.execute(asked, (side,))]

    def nodes_of(self, role: str) -> set[str]:
        """The names of a role's nodes."""
        return {node["node"] for node in self.nodes if node["role"] == role}

    def write(self) -> Path:
        """Leave it so, each line counted as if it had been written in the first place; its directory."""
        counts: Counter[str] = Counter()
        for line in self.lines:
            if line.get("what") == "complete":
                line["lines"] = dict(counts)
                line["registers"] = len(self.of("final", what="register"))
                line["starts"] = len(self.nodes)
            writer = f"{line['node']}/{line['inc']}"
            counts[writer] += 1
            line["i"] = counts[writer]
        for name in ("nodes", "faults", "counters"):
            self._write(name, getattr(self, name))
        self._write("history", self.lines)
        return self.path

    def _write(self, name: str, lines: Iterable[Line]) -> None:
        text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        (self.path / f"{name}.jsonl").write_text(text)
