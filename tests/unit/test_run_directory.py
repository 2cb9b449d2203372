"""The directory of a run: what is written into it without bound is cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from squall.services.errors import SpecError
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run import directory as run_directory
from squall.services.run.directory import RunDirectory, claim, open_private


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    monkeypatch.setattr(run_directory, "LOG_BYTES_MAX", 1000)
    monkeypatch.setattr(run_directory, "LOG_BYTES_KEPT", 10)
    (tmp_path / "logs").mkdir()
    return RunDirectory(tmp_path)


def test_a_log_that_is_too_long_keeps_its_beginning_and_what_comes_after(run: RunDirectory) -> None:
    (run.logs / "agent-2.log").write_bytes(b"short")
    with open_private(run.logs / "agent-1.log", "ab") as log:
        log.write(b"0123456789" + b"x" * 1000)
        assert run.cut_logs() == ["agent-1.log"]
        log.write(b"after")
    content = (run.logs / "agent-1.log").read_bytes()
    assert content.startswith(b"0123456789\n(it was too long")
    assert content.endswith(b"after")
    assert run.cut_logs() == []


def test_what_is_no_log_of_ours_is_not_cut(run: RunDirectory, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"p" * 2000)
    (run.logs / "agent-1.log").symlink_to(precious)
    (run.logs / "agent-2.log").hardlink_to(precious)
    os.mkfifo(run.logs / "agent-3.log")
    (run.logs / "agent-4.log").mkdir()
    assert run.cut_logs() == []
    assert precious.stat().st_size == 2000


SPEC = HierarchicalSpec(pattern="hierarchical")


def run_that_ends(out: Path, error: Exception, *, started: bool) -> None:
    with claim(SPEC, out) as run:
        (run.logs / "handler.log").touch()
        if started:
            run.append("nodes.jsonl", node="broker")
        raise error


@pytest.mark.parametrize("in_a_group", [False, True])
@pytest.mark.parametrize("is_new", [False, True])
def test_what_was_refused_before_anything_started_leaves_nothing(
    tmp_path: Path, in_a_group: bool, is_new: bool
) -> None:
    """So the same command can be given again, once what it was refused for is corrected."""
    refused = SpecError("the handler cannot be imported")
    error: Exception = ExceptionGroup("tasks", [refused]) if in_a_group else refused
    out = tmp_path / "run" if is_new else tmp_path
    with pytest.raises((SpecError, ExceptionGroup)):
        run_that_ends(out, error, started=False)
    assert list(tmp_path.iterdir()) == []


def test_what_was_refused_later_leaves_what_there_was(tmp_path: Path) -> None:
    with pytest.raises(SpecError):
        run_that_ends(tmp_path, SpecError("the producer cannot go on"), started=True)
    assert (tmp_path / "spec.toml").exists()
