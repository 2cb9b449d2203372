"""``squall chaos`` on a terminal of 80 columns, recorded: every stage is seen, and no line runs over."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path
from typing import get_args

import pytest
from tests.scenarios.quick import AT_EASE
from tests.scenarios.series_once import SQUALL
from tests.screen import Screen

from squall.services.run.progress import Stage

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow]

COLUMNS, ROWS = 80, 24

SCHEDULE = """
seed = 5
quiet_s = 3.0

[[interval]]
fault = "crash"
target = "any-agent"
at_s = 0.5

[[interval]]
fault = "pause"
target = "leader"
at_s = 0.5
for_s = 3.0
point = "coordinator.dispatched"
"""


def recorded(folder: Path, *command: str) -> tuple[int, Screen]:
    """Run a command on a terminal of its own; how it ended, and what stood there."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    process = subprocess.Popen(
        [SQUALL, *command],
        cwd=folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**environment, "TERM": "xterm-256color"},
    )
    os.close(theirs)
    screen = Screen(COLUMNS)
    try:
        while data := _read(ours):
            screen.feed(data)
        return process.wait(timeout=60), screen
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _read(terminal: int) -> bytes:
    """What was written next; nothing once nobody has the terminal open any more."""
    with contextlib.suppress(OSError):
        return os.read(terminal, 64 * 1024)
    return b""


def test_a_recording_of_chaos_shows_every_stage_and_what_is_known_at_it(tmp_path: Path) -> None:
    (tmp_path / "schedule.toml").write_text(SCHEDULE)
    options = (*AT_EASE, "--schedule", "schedule.toml", "--seeds", "2", "--out", "out")
    code, screen = recorded(tmp_path, "chaos", "hierarchical", *options)
    seen = "\n".join(screen.frames)
    assert code == 0, screen.text
    assert screen.unknown == set()
    assert screen.overruns == [], "a line ran over the end of the terminal"

    for stage in get_args(Stage):
        if stage != "load":  # which chaos calls by what it does meanwhile
            assert re.search(rf"^stage +{stage}", seen, re.M), f"{stage} was never seen"
    for told in (
        r"schedule-1 +1 of 2, \d+ s so far$",
        r"schedule-2 +2 of 2, \d+ s so far, about \d+ s left of the series$",
        r"stage +faults, about \d+ s left$",
        r"stage +recovering for \d+ s, given up after \d+ s$",
        r"stage +draining for \d+ s, given up after \d+ s$",
        r"in force .*crash of any-agent \(agent-\d\) for \d+ s",
        r"in force .*pause of leader \(coordinator-\d\) for \d+ s",
        r"tasks +offered [\d,]+, accepted [\d,]+, ended [\d,]+$",
        r"waits for +the nodes to serve",
    ):
        assert re.search(told, seen, re.M), told

    assert len(set(re.findall(r"leads +(coordinator-\d)$", seen, re.M))) == 2, "whoever took over"

    lines = screen.text.splitlines()
    left = [line for line in lines if re.match(r"stage|in force|leads|waits for", line)]
    assert left == [], "progress is gone at the end"
    for name in ("schedule-1", "schedule-2"):
        assert [line for line in lines if line.startswith(f"{name}  pass  faults 2/2 verified")], screen.text
    assert re.search(r"^2 runs\. [\d,]+ orders accepted, each filled once", screen.text, re.M)
    assert lines[-2:] == ["runs  out", "report  out/report.html"]


def test_a_run_says_on_a_terminal_when_the_leader_is_frozen_and_who_took_over(tmp_path: Path) -> None:
    code, screen = recorded(
        tmp_path, "run", "hierarchical", "--tasks", "2000", "--rate", "500", "--out", "out"
    )
    assert code == 0, screen.text
    assert screen.overruns == []
    assert screen.unknown == set()
    seen = "\n".join(screen.frames)
    assert re.search(r"^stage +load, about \d+ s left$", seen, re.M)
    in_force = re.search(r"in force +pause of leader \((coordinator-\d)\) for \d+ s", seen)
    assert in_force is not None
    (frozen,) = in_force.groups()
    (other,) = {"coordinator-1", "coordinator-2"} - {frozen}
    told = re.findall(r"^([\d.]+) s  (.*)$", screen.text, re.M)
    assert [text for _, text in told] == [
        f"{frozen}, which leads, is frozen for 2.5 s",
        f"{other} took over",
        f"{frozen} runs again, and has stood down",
    ]
    frozen_s, over_s, again_s = (float(at) for at, _ in told)
    assert 1.0 <= over_s - frozen_s <= again_s - frozen_s, "not before a lease is over"
    assert re.search(
        r"^2,000 orders accepted, each filled once\. The leading coordinator was frozen\s+for 2\.5 s; "
        r"another took over after \d\.\d s\.$",
        screen.text,
        re.M,
    )
    assert [line.split("  ")[0] for line in screen.text.splitlines()[-2:]] == ["run", "report"]
    assert (tmp_path / "out" / "report.html").exists()


def test_quiet_leaves_the_result_alone(tmp_path: Path) -> None:
    options = ("--tasks", "200", "--rate", "200", "--quiet", "--out", "out")
    code, screen = recorded(tmp_path, "run", "hierarchical", *options)
    assert code in (0, 3), screen.text
    assert "stage" not in "\n".join(screen.frames)
    assert screen.text.startswith("200 orders accepted, each filled once")
