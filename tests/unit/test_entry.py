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

from squall.chaos.errors import HarnessBrokenError
from squall.chaos.inject.toxiproxy import find
from squall.services.cli.help import ENVIRONMENT
from squall.services.cli.signals import interrupting

ROOT = Path(__file__).parents[2]
SQUALL = Path(sys.executable).parent / "squall"


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell in which ``squall`` is ours."""
    path = f"{SQUALL.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": path, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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


# What it says of itself.


def test_help_has_a_short_name_fits_a_narrow_terminal_and_cuts_nothing(tmp_path: Path) -> None:
    for command in ("squall -h", "squall run -h", "squall chaos --help"):
        shown = shell(command, tmp_path, COLUMNS="40").stdout
        assert shown.startswith("Usage: squall")
        assert "…" not in shown
        assert [line for line in shown.splitlines() if len(line) > 40] == []
    shown = shell("squall run -h", tmp_path, COLUMNS="80").stdout
    for default in ("hierarchical 4, star 6", "5000", "processes", "runs/<id>"):
        assert default in shown, shown


def test_it_tells_its_version_and_completes_in_a_shell(tmp_path: Path) -> None:
    assert re.fullmatch(r"squall \d+\.\d+\.\d+\n", shell("squall --version", tmp_path).stdout)
    completed = shell(
        "squall", tmp_path, _SQUALL_COMPLETE="complete_bash", COMP_WORDS="squall ch", COMP_CWORD="1"
    )
    assert completed.stdout.split() == ["chaos", "check"]


OWN = {"MARK"}
"""What only processes of ours set, for processes of ours."""


def test_every_variable_that_is_read_is_told_of(tmp_path: Path) -> None:
    read = set()
    for part in ("bus", "services", "chaos"):
        for path in (ROOT / part / "squall" / part).rglob("*.py"):
            source = path.read_text()
            constants = dict(re.findall(r'^(\w+) = "([A-Z_]+)"$', source, re.MULTILINE))
            for name in re.findall(r"environ(?:\.get\(|\[)([\w\"]+)", source):
                read.add(name.strip('"') if name.startswith('"') else constants.get(name, name))
    assert {"NATS_SERVER", "TOXIPROXY_SERVER", "NATS_CREDS", "NATS_CA", "XDG_CACHE_HOME"} <= read
    assert read - OWN <= set(ENVIRONMENT)
    shown = shell("squall --help", tmp_path, COLUMNS="80").stdout
    assert all(f"\n  {name} " in shown for name in ENVIRONMENT)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", dict[int, object]().__getitem__)  # nobody is known
    with pytest.raises(HarnessBrokenError, match="has no home directory") as caught:
        find.cache()
    assert "XDG_CACHE_HOME" in caught.value.remedy
