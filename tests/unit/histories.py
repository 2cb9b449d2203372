"""Builds run directories by hand: a good one, to be doctored.

Two jobs, eight tasks: six accepted, one refused, one unknown. The first leader is
paused after its first batch and followed; one task of its term ends under the next.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from squall.chaos.judge.case import Case, case_of
from squall.chaos.judge.checks import promises_of
from squall.chaos.tell.documents import history_of

T = 1_700_000_000.0
"""When it all began."""

Row = dict[str, Any]


class Run:
    """A run that is still to be written.

    Attributes:
        rows: Lines of the history in order of time, not yet numbered.
        counters: What each start of a node counted, by its heartbeats.
        truncated: What a killed writer left at the end of the history.
        journal: Order id and body of each order as received.
        fills: Order id and time of each fill.
        refusals: Order id and reason of each order that the venue rejected.
    """

    def __init__(self) -> None:
        self.spec: dict[str, Any] = {
            "pattern": "hierarchical",
            "seed": 7,
            "agents": 2,
            "workload": "independent",
            "tasks": 8,
            "lease_s": 1.0,
            "task_deadline_s": 60.0,
            "pause_leader": True,
        }
        self.nodes: list[Row] = []
        self.faults: list[Row] = []
        self.rows: list[Row] = []
        self.truncated = b""
        self.counters: list[Row] = []
        self.journal: list[tuple[str, str | None]] = []
        self.fills: list[tuple[str, float]] = []
        self.refusals: list[tuple[str, str]] = []

    def line(self, at_s: float, node: str, op: str, kind: str, inc: int = 1, **facts: Any) -> Row:
        row = {"time_s": T + at_s, "node": node, "inc": inc, "op": op, "type": kind, **facts}
        self.rows.append(row)
        return row

    def start(self, at_s: float, node: str, incarnation: int = 1) -> None:
        role = node.split("-", maxsplit=1)[0]
        self.nodes.append(
            {
                "node": node,
                "role": role,
                "incarnation": incarnation,
                "target": "processes",
                "pid": 100 + len(self.nodes),
                "started_s": T + at_s,
            }
        )
        if role in ("agent", "coordinator", "gateway", "producer"):
            counts = {"reconnects": 1, "late": 2}
            self.counters.append({"node": node, "incarnation": incarnation, "counters": counts})

    def submit(self, at_s: float, task: str, outcome: str = "ok", *, inc: int = 1) -> None:
        key, job = task.rsplit("-", 1)[0], "momentum"
        self.line(at_s, "producer", "submit", "invoke", inc, task=task, key=key, job=job, submit_s=T + at_s)
        facts = {"seq": len(self.rows)} if outcome == "ok" else {"reason": "no room"}
        if outcome != "none":
            self.line(at_s + 0.01, "producer", "submit", outcome, inc, task=task, refusals=0, **facts)

    def register(self, at_s: float, task: str, *, term: int, status: str = "ok", **facts: Any) -> Row:
        intents = [f"{task}.0"] if status == "ok" else []
        return self.line(
            20.0,
            "squall",
            "final",
            "ok",
            what="register",
            **{
                "task": task,
                "key": task.rsplit("-", 1)[0],
                "job": "momentum",
                "status": status,
                "effects": intents,
                "attempt": 1,
                "term": term,
                "agent": "agent-1",
                "reason": "",
                "time_s_stored": T + at_s,
                **facts,
            },
        )

    def fill(self, at_s: float, task: str) -> None:
        self.journal.append((f"{task}.0", '{"quantity":1}'))
        self.fills.append((f"{task}.0", T + at_s))

    def find(self, op: str, **facts: Any) -> Row:
        """The first line of an operation with these facts."""
        return next(
            row for row in self.rows if row["op"] == op and all(row.get(k) == v for k, v in facts.items())
        )

    def drop(self, op: str, **facts: Any) -> None:
        """As if it had never been written."""
        self.rows.remove(self.find(op, **facts))

    def lines(self) -> list[bytes]:
        """The history as its writers would have written it: numbered, and counted by the closing line."""
        counts: dict[str, int] = {}
        lines = []
        for row in sorted(self.rows, key=lambda row: row["time_s"]):
            closing_line = row.get("what") == "complete"
            numbered = {**row, "lines": dict(counts)} if closing_line else row
            writer = f"{row['node']}/{row['inc']}"
            counts[writer] = counts.get(writer, 0) + 1
            lines.append(msgspec.json.encode({**numbered, "i": counts[writer]}) + b"\n")
        return lines

    def write(self, path: Path) -> Path:
        path.mkdir(exist_ok=True)
        spec = (f"{name} = {msgspec.json.encode(value).decode()}\n" for name, value in self.spec.items())
        (path / "spec.toml").write_text("".join(spec))
        files = {"nodes": self.nodes, "faults": self.faults, "counters": self.counters}
        for name, rows in ((f"{name}.jsonl", rows) for name, rows in files.items()):
            (path / name).write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
        closing_lines = [row for row in self.rows if row.get("what") == "complete"]
        for row in closing_lines:
            row.setdefault("registers", sum(row.get("what") == "register" for row in self.rows))
        (path / "history.jsonl").write_bytes(b"".join(self.lines()) + self.truncated)
        self._write_venue(path / "venue.sqlite")
        return path

    def _write_venue(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path)) as database, database:
            database.execute(
                "CREATE TABLE journal (seq INTEGER PRIMARY KEY, time_s REAL, order_id TEXT, account TEXT,"
                " symbol TEXT, n INTEGER, side TEXT, quantity INTEGER, price REAL, body TEXT)"
            )
            database.execute(
                "CREATE TABLE fills (order_id TEXT, account TEXT, symbol TEXT, n INTEGER, side TEXT,"
                " quantity INTEGER, price REAL, time_s REAL)"
            )
            database.execute("CREATE TABLE refusals (order_id TEXT PRIMARY KEY, time_s REAL, reason TEXT)")
            database.executemany(
                "INSERT INTO refusals (time_s, order_id, reason) VALUES (?, ?, ?)",
                [(T, order, reason) for order, reason in self.refusals],
            )
            database.execute(
                "CREATE VIEW ledger AS SELECT order_id, account, symbol, n, side, quantity, price FROM fills"
            )
            database.executemany(
                "INSERT INTO journal (time_s, order_id, account, body) VALUES (?, ?, ?, ?)",
                [(T, order, None if body is None else "a", body or "?") for order, body in self.journal],
            )
            database.executemany("INSERT INTO fills (order_id, time_s) VALUES (?, ?)", self.fills)


def case_in(path: Path) -> Case:
    """What the checks of a run's pattern decide on."""
    history = history_of(path)
    promises = promises_of(history.asked.pattern)
    return case_of(history, promises.batches if promises is not None else None)


def good_run() -> Run:
    """A run in which everything held."""
    run = Run()
    for node in (
        "broker", "venue", "coordinator-1", "coordinator-2", "gateway", "agent-1", "agent-2", "producer",
    ):  # fmt: skip
        run.start(-1.0, node)
    run.line(-0.5, "squall", "note", "ok", limits=["one server"], environment={"python": "3.11", "cpus": 2})
    run.line(0.0, "coordinator-1", "lead", "ok", term=2)
    run.line(0.05, "coordinator-1", "announce", "ok", agents=2)
    for n in range(1, 4):
        run.submit(n / 10, f"a-{n}")
    run.line(1.0, "coordinator-1", "dispatch", "ok", term=2, tasks=3, first=4)
    for n in range(1, 4):
        run.line(1.1, "agent-1", "run", "invoke", task=f"a-{n}", attempt=1)
        run.line(1.2, "agent-1", "commit", "ok", task=f"a-{n}", attempt=1, status="ok")
        run.fill(1.0 + n / 10, f"a-{n}")
    run.line(1.4, "gateway", "deliver", "ok", orders=3, filled=3, duplicate=0, rejected=0)
    run.faults.append(
        {"kind": "pause", "target": "leader", "node": "coordinator-1", "start_s": T + 2.0, "end_s": T + 4.5,
         "verified": True}
    )  # fmt: skip
    for n in range(4, 7):
        run.submit(2.0 + n / 10, f"a-{n}")
    run.submit(2.7, "a-7", "fail")
    run.submit(2.8, "a-8", "unknown")
    run.line(3.25, "coordinator-2", "lead", "ok", term=10)
    run.line(3.5, "coordinator-2", "dispatch", "ok", term=10, tasks=3, first=12)
    for n in range(4, 7):
        run.line(3.7, "agent-2", "commit", "ok", task=f"a-{n}", attempt=1, status="ok")
        run.fill(3.5 + n / 10, f"a-{n}")
    run.line(4.0, "agent-2", "commit", "fail", task="a-3", attempt=2, reason="already")
    run.journal.append(("a-3.0", '{"quantity":1}'))
    run.line(4.6, "coordinator-1", "fenced", "fail", term=2, code=10071)
    run.line(4.61, "coordinator-1", "resign", "ok", term=2)
    for n in range(1, 7):
        run.register(1.2 if n < 3 else 3.7, f"a-{n}", term=2 if n < 4 else 10)
    for job, ended in (("momentum", 6), ("pairs", 0)):
        facts = {"opened": True, "done": True, "dispatched": ended, "ok": ended}
        run.line(20.0, "squall", "final", "ok", what="job", job=job, **facts)
    run.line(20.0, "squall", "final", "ok", what="queue", dispatched=6, arrivals=6, left=0)
    run.line(20.5, "coordinator-2", "resign", "ok", term=10)
    run.line(21.0, "squall", "final", "ok", what="complete", drained=True, bound_s=60.0, took_s=1.0)
    return run
