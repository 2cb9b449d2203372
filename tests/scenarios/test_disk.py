"""A disk that is too small to begin, and one that fills up under a run."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.nats

MIB = 1024**2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """``small_disk(64)``: a file system of its own with that many MiB."""
    mounted: list[Path] = []

    def mount(mib: int) -> Path:
        path = tmp_path / f"disk-{mib}"
        path.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", path], capture_output=True, check=False
        )
        if done.returncode != 0:
            pytest.skip("mounting a small disk takes root")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "--lazy", path], check=True)


def test_a_disk_too_small_to_begin_is_refused(squall_run: Any, small_disk: Any) -> None:
    run = squall_run({"tasks": 100}, "--out", str(small_disk(64) / "run"))
    document = run.end(30)
    assert run.process.returncode == 2
    assert "64 MiB free" in document["error"]["message"]


def test_a_disk_that_fills_up_ends_the_run_in_one_sentence(
    squall_run: Any, small_disk: Any, is_alive: Any
) -> None:
    disk = small_disk(320)
    run = squall_run({"tasks": 1_000_000}, "--out", str(disk / "run"))
    run.path = disk / "run"
    run.wait_for(lambda: len(run.lines("commit")) > 50, "work")
    (disk / "fill").write_bytes(b"\0" * (270 * MIB))
    document = run.end(60)
    assert run.process.returncode == 4
    assert document["error"]["kind"] == "disk"
    assert "is full" in run.stderr.read_text().splitlines()[-1]
    assert [pid for pid in run.pids() if is_alive(pid)] == []


PRINTS = """
def decide(task):
    for _ in range(8):
        print("x" * 2 ** 20)
    return None
"""


def test_what_handlers_print_does_not_fill_the_disk(squall_run: Any, small_disk: Any, tmp_path: Path) -> None:
    """480 MiB, on a disk of 320."""
    disk = small_disk(320)
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "prints.py").write_text(PRINTS)
    spec = {"tasks": 60, "rate_per_s": 10.0, "agents": 2, "pause_leader": False, "handler": "prints:decide"}
    run = squall_run(spec, "--out", str(disk / "run"))
    document = run.end(120)
    assert (document["accepted"], document["lost"], document["dead_letters"]) == (60, 0, 0)
