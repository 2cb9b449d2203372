"""`squall simulate` as it is asked: what it cannot do is said before anything runs; an end loses nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.simulation

SQUALL = Path(sys.executable).with_name("squall")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--out", "file/x"], "file/x cannot be a directory: "),
        (["--out", "full"], "full is not empty; remove it, or name another one with --out"),
        (["--out", ""], "it is empty, and a path is asked for"),
        (["--schedule", ""], "it is empty, and a path is asked for"),
        (["--minutes", "0"], "--minutes 0 simulates nothing; for instance --minutes 5"),
        (["--handler", "nowhere:decide"], "the handler nowhere:decide cannot be imported"),
    ],
    ids=["a file", "not empty", "no out", "no schedule", "no time", "no handler"],
)
def test_what_cannot_be_used_is_said_before_anything_runs(
    tmp_path: Path, asked: list[str], says: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "kept").touch()
    done = subprocess.run(
        [SQUALL, "simulate", *asked, "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_who_interrupts_is_told_what_was_found(tmp_path: Path) -> None:
    with (
        (tmp_path / "progress").open("wb") as progress_file,
        subprocess.Popen(
            [SQUALL, "simulate", "--schedules", "100000"],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=progress_file,
            text=True,
        ) as running,
    ):
        until_s = time.monotonic() + 60
        while (
            b"/100000" not in (progress := (tmp_path / "progress").read_bytes()) and b"of 100" not in progress
        ):
            assert time.monotonic() < until_s, progress
            time.sleep(0.2)
        running.send_signal(signal.SIGINT)
        told, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "hierarchical, simulated: " in told
    assert "interrupted; this is what was found until then" in (tmp_path / "progress").read_text()
