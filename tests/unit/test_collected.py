"""Histories that nodes write apart: brought together whole, each line once, and of its writer alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from squall.services.launch import collected
from squall.services.launch.collected import Collected, recover
from squall.services.node.history import History
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.directory import claim


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nodes").mkdir()
    return tmp_path / "nodes"


def own(folder: Path, node: str) -> Path:
    (folder / node).mkdir(exist_ok=True)
    return folder / node / "history.jsonl"


def together(folder: Path) -> Collected:
    return Collected(folder, folder.parent / "history.jsonl")


def lines_in(folder: Path) -> list[tuple[str, int, int]]:
    text = (folder.parent / "history.jsonl").read_text()
    return [(line["node"], line["inc"], line["i"]) for line in map(json.loads, text.splitlines())]


def test_lines_come_as_they_are_written_and_a_half_one_waits(folder: Path) -> None:
    bringing = together(folder)
    with (
        History(own(folder, "agent-1"), "agent-1", 1) as one,
        History(own(folder, "agent-2"), "agent-2", 1) as two,
    ):
        one("run", "invoke", task="a")
        two("run", "invoke", task="b")
        assert bringing.collect() == 2
        assert bringing.collect() == 0
        with own(folder, "agent-1").open("ab") as file:
            file.write(b'{"node":"agent-1","inc":1,')
        two("run", "ok", task="b")
        assert bringing.collect() == 1
        with own(folder, "agent-1").open("ab") as file:
            file.write(b'"i":2}\n')
        assert bringing.collect() == 1
    assert sorted(lines_in(folder)) == [
        ("agent-1", 1, 1),
        ("agent-1", 1, 2),
        ("agent-2", 1, 1),
        ("agent-2", 1, 2),
    ]


@pytest.mark.parametrize(
    "line",
    [
        b'{"node":"agent-2","inc":1,"i":1,"op":"run"}',
        b'{"node":"squall","inc":1,"i":99,"op":"final"}',
        b"nonsense",
        b"[" * 5000,
        b'{"node":"agent-1"}',
        b'{"node":"agent-1","inc":1,"i":1,"x":"' + b"x" * collected.LINE_BYTES_MAX + b'"}',
    ],
)
def test_a_node_tells_of_itself_alone(folder: Path, line: bytes) -> None:
    bringing = together(folder)
    own(folder, "agent-1").write_bytes(line + b"\n" + b'{"node":"agent-1","inc":1,"i":7}\n')
    bringing.collect()
    assert lines_in(folder) == [("agent-1", 1, 7)]
    assert bringing.refused == 1


def test_a_line_without_end_holds_up_nobody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collected, "READ_BYTES", 1000)
    bringing = together(folder)
    own(folder, "agent-1").write_bytes(b"x" * 5500 + b"\n" + b'{"node":"agent-1","inc":1,"i":1}\n')
    own(folder, "agent-2").write_bytes(b'{"node":"agent-2","inc":1,"i":1}\n')
    for _ in range(10):
        bringing.collect()
    assert lines_in(folder) == [("agent-2", 1, 1), ("agent-1", 1, 1)]


def test_what_is_no_file_is_not_read(folder: Path) -> None:
    secret = folder.parent / "secret"
    secret.write_bytes(b'{"node":"agent-1","inc":1,"i":1,"secret":"of the machine"}\n')
    own(folder, "agent-1").symlink_to(secret)
    os.mkfifo(own(folder, "agent-2"))
    own(folder, "agent-3").mkdir()
    bringing = together(folder)
    assert bringing.collect() == 0


def test_what_a_killed_command_had_not_brought_over_is_recovered_once(folder: Path) -> None:
    with History(own(folder, "agent-1"), "agent-1", 1) as one:
        for n in range(5):
            one("run", "invoke", task=f"t-{n}")
        together(folder).collect()
        for n in range(5):
            one("run", "ok", task=f"t-{n}")
    assert together(folder).collect_rest() == 5
    assert together(folder).collect_rest() == 0
    assert lines_in(folder) == [("agent-1", 1, n) for n in range(1, 11)]


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "run"
    with claim(HierarchicalSpec(), path) as run:
        run.containers.mkdir()
        own(run.containers, "agent-1").write_bytes(b'{"node":"agent-1","inc":1,"i":1}\n')
        recover(path)
        assert run.history.read_bytes() == b""
    recover(path)
    assert run.history.read_bytes() == b'{"node":"agent-1","inc":1,"i":1}\n'
