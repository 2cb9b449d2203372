"""Whatever the streams are, whenever a signal comes, whatever breaks: the documented code, no traceback."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.unit.histories import good_run
from tests.unit.shells import SQUALL, shell

from squall.services.cli.signals import interrupting


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("squall plan hierarchical | head -1", 0, ""),
        ("squall plan hierarchical >&-", 0, ""),
        ("squall plan hierarchical 2>&-", 0, ""),
        ("squall plan hierarchical 2>/dev/full", 0, ""),
        ("squall plan nowhere >&- 2>&- <&-", 2, ""),
        ("squall plan nowhere 2>/dev/full", 2, ""),
        (
            "squall plan hierarchical >/dev/full",
            4,
            "standard output cannot be written: No space left on device",
        ),
        ("squall plan nowhere >/dev/full", 2, "there is no pattern 'nowhere'"),
        ("PYTHONIOENCODING=ascii squall plan hierarchical", 0, ""),
        ("PYTHONIOENCODING=latin-1 squall plan hierarchical", 0, ""),
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 squall plan hierarchical", 0, ""),
    ],
)
def test_a_stream_that_cannot_be_written_changes_no_verdict(
    tmp_path: Path, line: str, code: int, said: str
) -> None:
    done = shell(line, tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) <= 1
    assert list(tmp_path.iterdir()) == []


COMMANDS = [
    "explain",
    "check run",
    "report run",
    "trace a-1 --run run --json",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run in it, of which a check fails."""
    folder = tmp_path_factory.mktemp("outputs")
    run = good_run()
    run.fill(5.0, "a-1")
    run.write(folder / "run")
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_nobody_wants_changes_no_code_and_a_full_one_only_what_passed(
    folder: Path, command: str
) -> None:
    code = 1 if command.startswith("check") else 0
    unread, closed = (shell(f"squall {command} {where}", folder) for where in ("| head -c 0", ">&-"))
    assert [(done.returncode, done.stderr) for done in (unread, closed)] == [(code, "")] * 2
    full = shell(f"squall {command} >/dev/full", folder)
    assert full.returncode == (code or 4)
    assert full.stderr == "squall: standard output cannot be written: No space left on device\n"


CATCHES = re.compile(r"^SigCgt:\s*([0-9a-f]+)$", re.MULTILINE)


def catches(pid: int, number: signal.Signals) -> bool:
    """Whether a process handles a signal itself, by the kernel's word."""
    found = CATCHES.search(Path(f"/proc/{pid}/status").read_text())
    return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize(
    ("number", "after_s"),
    [(signal.SIGINT, 0.0), (signal.SIGTERM, 0.05), (signal.SIGHUP, 0.1), (signal.SIGINT, 0.3)],
    ids=str,
)
def test_a_signal_while_it_starts_ends_it_as_documented(
    tmp_path: Path, number: signal.Signals, after_s: float
) -> None:
    process = subprocess.Popen(
        [SQUALL, "check", "nowhere"], cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not catches(process.pid, signal.SIGHUP):  # Python itself handles but SIGINT
        assert process.poll() is None
    time.sleep(after_s)  # into the middle of whatever is imported then
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 or (after_s and process.returncode == 2), err
    assert out == ""
    assert "Traceback" not in err
    assert after_s or err == "squall: interrupted before anything was started\n"
    assert list(tmp_path.iterdir()) == []


def test_nohup_is_respected_and_handlers_are_put_back() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupting(lambda number, frame: None):
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


BREAK = (
    "import sys\n"
    "from squall.services.cli import {module}\n"
    "def broken(*arguments, **options): raise {error}\n"
    "{module}.{name} = broken\n"
    "from squall.services.cli.entry import main\n"
    "sys.argv[1:] = {arguments}\n"
    "main()\n"
)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        ("KeyError('\\x1b[2Jx')", "squall: KeyError:"),
        ("BrokenPipeError(32, 'Broken pipe')", "squall: BrokenPipeError: [Errno 32] Broken pipe"),
        ("ExceptionGroup('several', [ValueError('first'), OSError('second')])", "squall: ValueError: first"),
    ],
)
def test_a_defect_is_one_sentence_with_its_traceback_in_a_file(tmp_path: Path, error: str, said: str) -> None:
    code = BREAK.format(
        module="plan", name="document", error=error, arguments=["plan", "hierarchical", "--json"]
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith(said)
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr
    (left,) = tmp_path.iterdir()
    assert str(left) in done.stderr
    assert left.stat().st_mode & 0o777 == 0o600
    assert "in broken" in left.read_text()
    document = json.loads(done.stdout)["error"]
    assert document["kind"] == "defect"
    assert "defect of Squall" in document["remedy"]


def test_a_part_that_cannot_be_imported_is_a_defect_too(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['nats'] = None\n"
        "from squall.services.cli.entry import main; sys.argv[1:] = ['doctor']; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("squall: ModuleNotFoundError: ")
    assert len(done.stderr.splitlines()) == 1
