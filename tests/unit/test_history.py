"""Reading a run's directory: what is there, and what is said of what is not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.histories import T, good_run

from squall.chaos.errors import NotARunError
from squall.chaos.evidence.doubts import doubts
from squall.chaos.evidence.facts import Operation
from squall.chaos.evidence.operations import Dispatch, Lead
from squall.chaos.evidence.reader import read
from squall.chaos.evidence.task import gather
from squall.chaos.judge.checks.hierarchical import Job
from squall.chaos.tell.documents import history_of, judge
from squall.chaos.tell.trace import timeline


def test_a_good_run_leaves_no_doubt(tmp_path: Path) -> None:
    history = history_of(good_run().write(tmp_path))
    assert doubts(history) == []
    assert {task: s.outcome for task, s in history.submissions.items()} == {
        **{f"a-{n}": "accepted" for n in range(1, 7)},
        "a-7": "refused",
        "a-8": "unknown",
    }
    assert [lead.term for lead in history.of(Lead)] == [2, 10]
    assert history.venue is not None
    assert history.venue.fills["a-1.0"] == (T + 1.1,)
    assert (history.first_s, history.last_s) == (T - 1.0, T + 21.0)
    assert history.read_back_s == T + 20.0
    assert history.environment.cpus == 2


def test_a_directory_without_a_run_is_refused_with_a_remedy(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(NotARunError) as caught:
            history_of(path)
        assert caught.value.exit_code == 2
        assert "runs/<id>" in caught.value.remedy


def test_absent_files_are_an_empty_history(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text('pattern = "hierarchical"\n')
    history = history_of(tmp_path)
    assert (history.lines, history.nodes, history.faults, history.venue) == (0, (), (), None)
    assert doubts(history) == [
        *(f"{name}.jsonl is missing" for name in ("nodes", "history", "faults")),
        "the run was not read back to its end",
        "there is no database of the venue",
    ]


def test_half_a_line_at_the_end_is_counted_and_no_doubt(tmp_path: Path) -> None:
    run = good_run()
    run.truncated = b'{"time_s": 1700000'
    history = history_of(run.write(tmp_path))
    assert (history.truncated, doubts(history)) == (1, [])


def test_a_whole_line_that_lacks_its_line_end_is_read(tmp_path: Path) -> None:
    path = good_run().write(tmp_path) / "history.jsonl"
    path.write_bytes(path.read_bytes().removesuffix(b"\n"))
    history = history_of(tmp_path)
    assert (history.truncated, doubts(history)) == (0, [])


FILES = ("history.jsonl", "nodes.jsonl", "faults.jsonl", "counters.jsonl")

HEAD = b'{"time_s":1,"node":"agent-1","inc":1,"i":1,"op":"end","type":"ok","incarnation":1,"role":"agent",'

HOSTILE = {
    "nested without end": HEAD + b'"x":' + b"[" * 1_000_000 + b"\n",
    "nested, and whole": HEAD + b'"x":' + b'{"x":' * 100_000 + b"1" + b"}" * 100_001 + b"\n",
    "of five megabytes": HEAD + b'"x":"' + b"x" * 5_000_000 + b'"}\n',
    "of five megabytes of nothing": b"\0" * 5_000_000 + b"\n",
    "short, and blown up by spaces": HEAD + b'"x":1}' + b" " * 5_000_000 + b"\n",
    "dated at the end of time": HEAD.replace(b":1,", b":1e300,", 1) + b'"x":1}\n',
    "counted beyond all bounds": HEAD.replace(b'"i":1', b'"i":9223372036854775807') + b'"x":1}\n',
    "negative": HEAD.replace(b'"i":1', b'"i":-1') + b'"x":1}\n',
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("what", HOSTILE)
def test_a_line_that_no_writer_of_ours_writes_is_a_doubt_and_no_error(
    file: str, what: str, tmp_path: Path
) -> None:
    path = good_run().write(tmp_path) / file
    path.write_bytes(path.read_bytes() + HOSTILE[what])
    # In the other files such a line lacks what theirs have, or is one of theirs with something more.
    assert doubts(history_of(tmp_path)) or file != "history.jsonl"
    result = judge(tmp_path)
    assert {check.verdict for check in result.checks} <= {"pass", "fail", "unknown"}
    if file == "history.jsonl":
        assert {check.verdict for check in result.checks} == {"unknown"}
        gathered = gather(tmp_path, "a-1")
        assert gathered is not None
        timeline(gathered)
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize("line", [b"[" * 1_000_000, b"x" * 5_000_000], ids=["nested", "long"])
def test_half_a_line_of_any_size_ends_reading_in_order(line: bytes, tmp_path: Path) -> None:
    run = good_run()
    run.truncated = line
    assert history_of(run.write(tmp_path)).lines == len(run.rows)


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("line", [b"{\n", b"{}\n", b"\n", b"\xff\xfe\n", b'{"time_s":1,"no\n'])
def test_a_malformed_line_is_a_doubt_wherever_it_is(file: str, line: bytes, tmp_path: Path) -> None:
    path = good_run().write(tmp_path) / file
    path.write_bytes(line + path.read_bytes() + line)
    first, more = [doubt for doubt in doubts(history_of(tmp_path)) if file in doubt]
    assert first.startswith(f"{file} line 1 is malformed")
    assert more == f"1 more lines of {file} are malformed"


def test_a_line_of_the_wrong_type_is_malformed(tmp_path: Path) -> None:
    run = good_run()
    run.find("dispatch")["tasks"] = "three"
    assert any("malformed" in doubt for doubt in doubts(history_of(run.write(tmp_path))))


@pytest.mark.parametrize(
    ("what", "says"), [("first", "missing"), ("middle", "missing"), ("last", "had written")]
)
def test_a_lost_line_of_a_writer_is_a_doubt(what: str, says: str, tmp_path: Path) -> None:
    run = good_run()
    run.write(tmp_path)
    lines = run.lines()
    own = [line for line in lines if b'"producer"' in line]
    gone = {"first": own[0], "middle": own[4], "last": own[-1]}[what]
    (tmp_path / "history.jsonl").write_bytes(b"".join(line for line in lines if line != gone))
    assert any("producer" in doubt and says in doubt for doubt in doubts(history_of(tmp_path)))


def test_a_writer_that_is_gone_as_a_whole_is_a_doubt(tmp_path: Path) -> None:
    run = good_run()
    run.write(tmp_path)
    kept = b"".join(line for line in run.lines() if b'"node":"agent-2"' not in line)
    (tmp_path / "history.jsonl").write_bytes(kept)
    assert doubts(history_of(tmp_path)) == ["agent-2/1 had written 4 lines and 0 are here"]


def test_a_repeated_line_is_a_doubt(tmp_path: Path) -> None:
    run = good_run()
    run.write(tmp_path)
    lines = run.lines()
    (tmp_path / "history.jsonl").write_bytes(b"".join([lines[0], *lines]))
    assert "1 line of squall (incarnation 1) repeated or out of order" in doubts(history_of(tmp_path))


@pytest.mark.parametrize(
    ("ahead_s", "heartbeats", "fault", "doubted"),
    [
        (0.051, 5, "", True),
        (-1.1, 5, "", True),
        (0.049, 5, "", False),
        (-0.9, 5, "", False),
        (-1.1, 4, "", False),
        (2.0, 9, "clock-off", False),
        (2.0, 9, "pause", True),
    ],
)
def test_a_clock_that_is_off_is_a_doubt_unless_that_is_the_fault(
    ahead_s: float, heartbeats: int, fault: str, doubted: bool, tmp_path: Path
) -> None:
    run = good_run()
    next(row for row in run.counters if row["node"] == "agent-1").update(
        ahead_s=ahead_s, heartbeats=heartbeats
    )
    if fault:
        run.faults.append(
            {"kind": fault, "target": "agent-1", "node": "agent-1", "start_s": T, "verified": True}
        )
    says = f"the clock of agent-1 (incarnation 1) is off by {ahead_s:+.3f} s"
    assert (says in doubts(history_of(run.write(tmp_path)))) is doubted


def test_lines_of_a_start_that_no_node_made_are_a_doubt(tmp_path: Path) -> None:
    run = good_run()
    run.nodes = [node for node in run.nodes if node["node"] != "agent-2"]
    assert doubts(history_of(run.write(tmp_path))) == [
        "agent-2 wrote lines and nodes.jsonl tells of no such start"
    ]


def test_a_start_that_is_missing_is_a_doubt(tmp_path: Path) -> None:
    run = good_run()
    run.find("final", what="complete").update(starts=len(run.nodes) + 1)
    count = len(run.nodes)
    assert doubts(history_of(run.write(tmp_path))) == [f"{count + 1} nodes were started and {count} are here"]


def test_an_outcome_without_an_offer_is_kept_and_is_a_doubt(tmp_path: Path) -> None:
    run = good_run()
    run.drop("submit", type="invoke", task="a-1")
    history = history_of(run.write(tmp_path))
    assert history.submissions["a-1"].outcome == "accepted"
    assert doubts(history) == ["1 outcome of offers that were never made"]


def test_an_offer_without_an_answer_is_unknown_and_keeps_its_first_time(tmp_path: Path) -> None:
    run = good_run()
    run.start(2.9, "producer", 2)
    run.submit(2.85, "a-9", "none")
    assert history_of(run.write(tmp_path)).submissions["a-9"].outcome == "unknown"
    run.submit(3.0, "a-9", "fail", inc=2)
    assert history_of(run.write(tmp_path)).submissions["a-9"].outcome == "unknown"
    run.find("submit", type="fail", task="a-9").update(type="ok")
    submission = history_of(run.write(tmp_path)).submissions["a-9"]
    assert (submission.outcome, submission.intended_s) == ("accepted", T + 2.85)


@pytest.mark.parametrize("text", ["pattern = ", "lease_s = 'long'\n", "\udcff"])
def test_an_unusable_spec_is_a_doubt(text: str, tmp_path: Path) -> None:
    path = good_run().write(tmp_path) / "spec.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    assert any(doubt.startswith("spec.toml is unusable") for doubt in doubts(history_of(tmp_path)))


def test_a_damaged_database_is_a_doubt(tmp_path: Path) -> None:
    path = good_run().write(tmp_path) / "venue.sqlite"
    path.write_bytes(b"not a database" * 100)
    found = doubts(history_of(tmp_path))
    assert any(doubt.startswith("venue.sqlite cannot be read") for doubt in found)


@pytest.mark.parametrize("row", [1, 3, 6])
def test_a_row_missing_from_the_journal_is_a_doubt(row: int, tmp_path: Path) -> None:
    run = good_run()
    run.journal.pop()
    path = run.write(tmp_path) / "venue.sqlite"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM journal WHERE seq = ?", (row,))
    assert any("missing from the venue's journal" in doubt for doubt in doubts(history_of(tmp_path)))


def test_what_a_killed_venue_left_in_its_log_is_read(tmp_path: Path) -> None:
    """A writer that has not closed leaves rows that are in the write-ahead log only."""
    path = good_run().write(tmp_path) / "venue.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as venue:
        venue.execute("PRAGMA journal_mode = WAL")
        venue.execute("INSERT INTO fills (order_id, time_s) VALUES ('late', 1.0)")
        history = history_of(tmp_path)
    assert history.venue is not None
    assert history.venue.fills["late"] == (1.0,)


def test_reading_leaves_the_directory_as_it_was(tmp_path: Path) -> None:
    good_run().write(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    history_of(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_the_pattern_declares_is_given_in_order_and_what_nobody_declares_is_counted(
    tmp_path: Path,
) -> None:
    history = history_of(good_run().write(tmp_path))
    assert [(batch.term, batch.first, batch.tasks) for batch in history.of(Dispatch)] == [
        (2, 4, 3),
        (10, 12, 3),
    ]
    assert [job.job for job in history.of(Job)] == ["momentum", "pairs"]
    assert history.undeclared == {"announce": 1, "deliver": 1}
    assert history.spec["pause_leader"] is True


def test_a_run_of_a_pattern_that_is_not_known_here_is_read_as_far_as_all_have_it(tmp_path: Path) -> None:
    run = good_run()
    run.spec["pattern"] = "carousel"
    history = history_of(run.write(tmp_path))
    assert (len(history.submissions), len(history.registers), history.records) == (8, 6, {})
    assert history.undeclared["dispatch"] == 2


class Answer(Operation, frozen=True, kw_only=True):
    """What a pattern of one's own declares of an operation that all patterns have."""

    task: str
    reason: str = ""


def test_a_pattern_may_look_at_an_operation_that_all_patterns_have(tmp_path: Path) -> None:
    path = good_run().write(tmp_path)
    common = history_of(path)
    history = read(path, lambda pattern: {"commit": Answer})
    answers = history.of(Answer)
    assert [answer.task for answer in answers if answer.reason == "already"] == ["a-3"]
    assert len([answer for answer in answers if answer.type == "ok"]) > 1
    assert history.suppressed == common.suppressed == 1
    assert "commit" not in history.undeclared
