"""The directory of a run: what is written into it without bound is cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from squall.services.run import directory as run_directory
from squall.services.run.directory import RunDirectory, open_private


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
