"""A user's own tasks: what becomes one, what is set aside and why, and that each is there once, in order."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest

from squall.bus.border import is_name
from squall.services.cli.asked import resolve
from squall.services.errors import SpecError
from squall.services.intake.earlier import whole_bytes
from squall.services.intake.records import (
    BODY_BYTES_MAX,
    RecordError,
    digest,
    from_json,
    key_name,
    task_name,
)
from squall.services.intake.source import LINE_BYTES_MAX, read
from squall.services.intake.store import TASKS_MAX, Stored, Taken, stored, take_in
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.directory import SET_ASIDE, TASKS
from squall.services.run.spec import spec_as
from squall.services.run.swarm_toml import convert

USABLE: list[tuple[bytes, tuple[str, bytes, float]]] = [
    (b'{"key":"AAPL","body":{"side":"buy"}}', ("AAPL", b'{"side":"buy"}', 0.0)),
    (b'{"body":[1, 2],"key":17}', ("17", b"[1, 2]", 0.0)),
    (b'{"key":"\xc3\xa9t\xc3\xa9","body":null}', ("été", b"null", 0.0)),
    (b'{"key":"a","body":1,"id":null,"deadline":null}', ("a", b"1", 0.0)),
    (b'{"key":"a","body":1,"deadline":1795795200}', ("a", b"1", 1795795200.0)),
    (b'{"key":"a","body":1,"deadline":"2026-11-27T16:00:00Z"}', ("a", b"1", 1795795200.0)),
    (b'{"key":"a","body":1,"deadline":"2026-11-27T17:00:00+01:00"}', ("a", b"1", 1795795200.0)),
    (b'{"key":"a","body":1,"deadline":"2026-11-27T16:00:00"}', ("a", b"1", 1795795200.0)),
]


@pytest.mark.parametrize(("line", "expected"), USABLE, ids=[line.decode()[:40] for line, _ in USABLE])
def test_a_record_is_a_task(line: bytes, expected: tuple[str, bytes, float]) -> None:
    record = from_json(line)
    assert (record.key, record.body, record.deadline_s) == expected
    assert record.id
    assert is_name(task_name(record.id))
    assert is_name(key_name(record.key))


UNUSABLE: list[tuple[bytes, str]] = [
    (b"nonsense", "is not JSON"),
    (b'{"key":"a","body":', "is not JSON"),
    (b"\xff\xfe", "is not JSON"),
    (b"[1,2]", "is no task: it is no object, but `array`"),
    (b'{"body":1}', "it has no `key`"),
    (b'{"key":"a"}', "it has no `body`"),
    (b'{"kye":"a","body":1}', "there are key, body, id, deadline, needs, and no `kye`"),
    (b'{"key":"","body":1}', "a key of 0 characters, and 1 to 200 are allowed"),
    (b'{"key":"a","body":1,"id":"' + b"x" * 201 + b'"}', "an id of 201 characters"),
    (b'{"key":1.5,"body":1}', "is no task"),
    (b'{"key":true,"body":1}', "is no task"),
    (b'{"key":"a","body":1,"needs":["gpu"]}', "is no task"),
    (b'{"key":"a","body":1,"needs":""}', "a capability of 0 characters"),
    (b'{"key":"a","body":1,"deadline":"tomorrow"}', "'tomorrow', which is neither ISO 8601 nor seconds"),
    (b'{"key":"a","body":1,"deadline":-1}', "is no time in seconds since the epoch"),
    (b'{"key":"a","body":1,"deadline":1e300}', "is no time in seconds since the epoch"),
    (b'{"key":"\\ud800","body":1}', "is not JSON"),
    (b'{"key":"a","body":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply"),
    (b'{"key":"a","body":"' + b"x" * BODY_BYTES_MAX + b'"}', "bytes, and"),
]


@pytest.mark.parametrize(("line", "why"), UNUSABLE, ids=[why for _, why in UNUSABLE])
def test_what_is_no_task_says_why(line: bytes, why: str) -> None:
    with pytest.raises(RecordError) as error:
        from_json(line)
    assert why in str(error.value)


def test_a_record_without_an_id_is_the_same_task_each_time_and_no_other() -> None:
    same = [from_json(b'{"key":"a","body":{"n":1}}').id for _ in range(2)]
    others = {from_json(line).id for line in (b'{"key":"a","body":{"n":2}}', b'{"key":"b","body":{"n":1}}')}
    assert same[0] == same[1]
    assert len({same[0], *others}) == 3


@pytest.mark.parametrize(
    "text", ["AAPL", "acme corp/eu", "x" * 200, "été", "-", "a.b", "*", ">", "A b", "a b"]
)
def test_whatever_a_user_calls_it_it_has_a_name_of_its_own(text: str) -> None:
    names = {task_name(text), task_name(f"{text}."), task_name(text.swapcase() + "!")}
    assert len(names) == 3
    assert all(map(is_name, names))


def test_a_name_stays_as_it_is() -> None:
    assert (task_name("order-17"), key_name("a0001-sp500")) == ("order-17", "a0001-sp500")


def taken(folder: Path, name: str, content: bytes) -> tuple[Taken, list[Stored], list[tuple[int, str]]]:
    """What was taken of a file, and what was set aside: its line and why."""
    file = folder / name
    file.write_bytes(content)
    run = folder / "run"
    run.mkdir()
    found = take_in(str(file), run)
    aside = run / SET_ASIDE
    lines = [json.loads(line) for line in aside.read_text().splitlines()] if aside.exists() else []
    return found, list(stored(run / TASKS)), [(line["line"], line["reason"]) for line in lines]


def test_each_task_is_there_once_in_order_and_numbered_within_its_key(tmp_path: Path) -> None:
    lines = [
        b'{"key":"B","body":1,"id":"x"}',
        b"",
        b'{"key":"A","body":1}',
        b'{"key":"B","body":2}',
        b'{"key":"B","body":1,"id":"x"}',  # word for word
        b'{"key":"B","body":3,"id":"x"}',  # the id of another
        b"nonsense",
        b'{"key":"A","body":2,"id":7}',
    ]
    found, tasks, aside = taken(tmp_path, "tasks.jsonl", b"\xef\xbb\xbf" + b"\r\n".join(lines))
    assert (found.tasks, found.repeated, found.aside) == (4, 1, 2)
    assert [(task.named, task.number, task.body) for task in tasks] == [
        ("B", 1, b"1"),
        ("A", 1, b"1"),
        ("B", 2, b"2"),
        ("A", 2, b"2"),
    ]
    assert [tasks[0].id, tasks[3].id] == ["x", "7"]
    assert [line for line, _ in aside] == [6, 7]
    assert aside[0][1] == "has the id 'x' of an earlier one, and differs from it"
    assert found.first == f"line 6 {aside[0][1]}"


def test_a_table_is_read_as_spreadsheets_write_it(tmp_path: Path) -> None:
    table = (
        b"\xef\xbb\xbfkey,side,id,deadline\r\n"
        b"AAPL,buy,1,\r\n"
        b'"MSFT, Inc.","a ""b""\r\nc",2,2026-11-27T16:00:00Z\r\n'
        b"short,row\r\n"
        b'"quoted"wrongly,x,3,\r\n'
        b"\xff\xfe,x,4,\r\n"
        b"\r\n"
        b"last,sell,5,1795795200\r\n"
    )
    found, tasks, aside = taken(tmp_path, "tasks.csv", table)
    assert found.tasks == 3
    assert [(task.id, task.named, json.loads(task.body), task.deadline_s) for task in tasks] == [
        ("1", "AAPL", {"side": "buy"}, 0.0),
        ("2", "MSFT, Inc.", {"side": 'a "b"\nc'}, 1795795200.0),
        ("5", "last", {"side": "sell"}, 1795795200.0),
    ]
    assert [line for line, _ in aside] == [5, 6, 7]
    assert aside[0][1] == "has 2 fields and the first line names 4 columns"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "tasks.jsonl",
            b'{"key":"a","body":1,"needs":"gpu"}\n{"key":"a","body":2,"needs":"luck"}\n'
            b'{"key":"a","body":3}\n{"key":"a","body":4,"needs":null}\n',
        ),
        ("tasks.csv", b"key,body,needs\na,1,gpu\na,2,luck\na,3,\na,4,\n"),
    ],
)
def test_what_needs_something_that_nobody_can_do_is_set_aside(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    found = take_in(str(tmp_path / name), tmp_path, able={"tpu", "gpu"})
    line = 3 if name.endswith(".csv") else 2
    why = "needs the capability 'luck', which no agent has; there are gpu, tpu"
    assert found == Taken(3, aside=1, first=f"line {line} {why}")
    assert [(task.body, task.needs) for task in stored(tmp_path / TASKS)] == [
        (b"1", "gpu"),
        (b"3", ""),
        (b"4", ""),
    ]
    (tmp_path / "none").mkdir()
    found = take_in(str(tmp_path / name), tmp_path / "none")
    assert (found.tasks, found.aside) == (2, 2)
    assert found.first.endswith("needs the capability 'gpu', which no agent has; there is none")


def test_a_column_of_bodies_is_json(tmp_path: Path) -> None:
    _, tasks, aside = taken(tmp_path, "tasks.csv", b'key,body\na,"{""n"": 1}"\nb,nonsense\n')
    assert [task.body for task in tasks] == [b'{"n": 1}']
    assert "a body that is not JSON" in aside[0][1]


SOURCES: list[tuple[str, bytes | None, str]] = [
    ("nowhere.jsonl", None, "cannot be read: No such file or directory"),
    ("tasks.txt", b"", "is neither JSON lines nor a table"),
    ("empty.jsonl", b"\n\n", "holds no task"),
    ("nothing.jsonl", b"nonsense\n", "holds no task: line 1 is not JSON"),
    ("no-key.csv", b"id,body\n1,2\n", "has no column called key"),
    ("twice.csv", b"key,key\n1,2\n", "has two columns called key"),
    ("empty.csv", b"", "has no column called key"),
    ("binary.csv", b"\xff\xfe\x00", "is no table"),
]


@pytest.mark.parametrize(("name", "content", "why"), SOURCES, ids=[name for name, _, _ in SOURCES])
def test_a_source_without_a_task_is_one_sentence_and_leaves_nothing(
    name: str, content: bytes | None, why: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    (tmp_path / "run").mkdir()
    with pytest.raises(SpecError) as error:
        take_in(str(tmp_path / name), tmp_path / "run")
    assert why in str(error.value)
    assert not list((tmp_path / "run").iterdir())


def test_no_more_are_taken_than_were_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_bytes(b"".join(b'{"key":"a","body":%d}\n' % n for n in range(10)) + b"nonsense\n")
    assert take_in(str(file), tmp_path, tasks_max=4) == Taken(4)


def result(identity: str, key: str, body: bytes, *, status: str = "ok") -> bytes:
    """A line of results, as a run writes it."""
    line = {"id": identity, "key": key, "status": status, "ended_s": 1.0, "input": digest(key, body)}
    return json.dumps(line).encode() + b"\n"


RECORDS = b'{"key":"a","body":1,"id":"x"}\n{"key":"a","body":2,"id":"y"}\n{"key":"a","body":3,"id":"z"}\n'

BEFORE: list[tuple[str, bytes | None, Taken, list[str]]] = [
    ("no file", None, Taken(3), ["x", "y", "z"]),
    ("an empty file", b"", Taken(3), ["x", "y", "z"]),
    ("one had ended", result("y", "a", b"2"), Taken(2, ended=1), ["x", "z"]),
    ("one was dead", result("y", "a", b"2", status="dead"), Taken(2, ended=1), ["x", "z"]),
    (
        "all had ended",
        result("x", "a", b"1") + result("y", "a", b"2") + result("z", "a", b"3") + result("other", "b", b"1"),
        Taken(0, ended=3),
        [],
    ),
    (
        "a last line in part",
        result("x", "a", b"1") + result("y", "a", b"2")[:-2],
        Taken(2, ended=1),
        ["y", "z"],
    ),
    ("no more than its beginning", result("x", "a", b"1") + b'{"i', Taken(2, ended=1), ["y", "z"]),
    (
        "another body under the same id",
        result("y", "a", b"4"),
        Taken(2, aside=1, first="line 2 has the id 'y' of an earlier one, and differs from it"),
        ["x", "z"],
    ),
    (
        "another key under the same id",
        result("y", "b", b"2"),
        Taken(2, aside=1, first="line 2 has the id 'y' of an earlier one, and differs from it"),
        ["x", "z"],
    ),
]


@pytest.mark.parametrize(("what", "before", "expected", "left"), BEFORE, ids=[what for what, *_ in BEFORE])
def test_what_ended_in_an_earlier_run_is_not_run_again(
    what: str, before: bytes | None, expected: Taken, left: list[str], tmp_path: Path
) -> None:
    (tmp_path / "tasks.jsonl").write_bytes(RECORDS)
    results = tmp_path / "results.jsonl"
    if before is not None:
        results.write_bytes(before)
    assert take_in(str(tmp_path / "tasks.jsonl"), tmp_path, results=results) == expected
    assert [task.id for task in stored(tmp_path / TASKS)] == left
    whole = before is not None and before.endswith(b"\n")
    assert whole_bytes(results) == (len(before or b"") if whole else (before or b"").rfind(b"\n") + 1)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"my notes", 1),
        (b"my notes\n", 1),
        (result("x", "a", b"1") + b"my notes\n", 2),
        (b'{"id": "x"}\n', 1),
        (b'{"id": "x", "status": "ok", "ended_s": 1.0, "input": 3}\n', 1),
        (b"[" * 100_000 + b"\n", 1),
        (b"\xff\n", 1),
    ],
)
def test_a_file_that_holds_something_else_is_not_written_to(
    content: bytes, line: int, tmp_path: Path
) -> None:
    (tmp_path / "tasks.jsonl").write_bytes(RECORDS)
    (tmp_path / "notes").write_bytes(content)
    with pytest.raises(SpecError) as error:
        take_in(str(tmp_path / "tasks.jsonl"), tmp_path, results=tmp_path / "notes")
    assert f"holds something already, and line {line} of it is no result" in str(error.value)
    assert (tmp_path / "notes").read_bytes() == content


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_a_line_without_an_end_is_not_kept_in_memory(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"tasks{suffix}"
    with file.open("wb") as lines:
        lines.write(b"key,body\n" if suffix == ".csv" else b'{"key":"a","body":0}\n')
        for _ in range(50):
            lines.write(b"x" * 1024**2)
        lines.write(b"\na,1\n" if suffix == ".csv" else b'\n{"key":"a","body":1}\n')
    tracemalloc.start()
    found = list(read(str(file)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * LINE_BYTES_MAX
    assert [each.record is not None for each in found][-2:] == [False, True]
    assert f"longer than {LINE_BYTES_MAX:,} bytes" in found[-2].reason


def test_a_table_says_where_tasks_come_in_and_how_many() -> None:
    own = {"handler": "mine:decide"}
    table = {"use": "nats:orders.new", "number": 5, "seconds": 3.0, "server": "nats://127.0.0.1:4222"}
    spec = convert({**own, "tasks": table}, "a test")
    assert (spec.tasks_from, spec.tasks, spec.tasks_seconds) == ("nats:orders.new", 5, 3.0)
    assert spec.source.subject == "orders.new"
    assert spec.source.broker.url() == "nats://127.0.0.1:4222"
    assert spec_as(spec, HierarchicalSpec).pause_leader is False
    assert convert({**own, "tasks": "nats:orders.new"}, "a test").tasks == TASKS_MAX
    paused = convert({**own, "tasks": {"use": "tasks.jsonl", "number": 5}}, "a test")
    assert (paused.tasks_from, paused.tasks) == ("tasks.jsonl", 5)
    assert spec_as(paused, HierarchicalSpec).pause_leader is True


def test_a_file_on_the_command_line_stands_for_all_of_the_table(tmp_path: Path) -> None:
    toml = tmp_path / "swarm.toml"
    toml.write_text('handler = "mine:decide"\n[tasks]\nuse = "nats:orders.new"\nseconds = 3.0\n')
    assert resolve(str(toml), tasks=7).tasks_seconds == 3.0
    spec = resolve(str(toml), tasks_from="tasks.jsonl")
    assert (spec.tasks_from, spec.tasks_seconds) == ("tasks.jsonl", 0.0)
