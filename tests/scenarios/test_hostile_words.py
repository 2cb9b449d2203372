"""A handler whose every word attacks the reader: terminal, log, page and document only show it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.nats

SQUALL = Path(sys.executable).parent / "squall"

HANDLER = """
import logging

WORDS = (
    "\\x1b]52;c;ZXZpbA==\\x07\\x1b[1A\\x1b[2K\\x9b2J\\u202e\\u2066\\u200b"
    "\\r\\n::error::pwned\\nverdict  pass\\n##[group]x [bold red]m[/] \\ud800"
)
Hostile = type(WORDS.encode("ascii", "replace").decode(), (Exception,), {})


def decide(task):
    logging.getLogger("mine").warning("heard %s", WORDS)
    logging.getLogger("mine").warning("%d", WORDS)
    try:
        raise Hostile(WORDS)
    except Hostile:
        logging.getLogger("mine").exception("caught %s", WORDS)
        raise
"""


def assert_harmless(shown: str) -> None:
    for character in shown.replace("\n", ""):
        assert character.isprintable() or character == "\ufffd", repr(character)
    for line in shown.splitlines():
        assert not line.strip().startswith("::"), line
        assert not line.startswith("verdict  pass"), line
        assert "##[" not in line


def asked(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run([SQUALL, *arguments], cwd=folder, capture_output=True, timeout=120, check=False)
    for stream in (done.stdout, done.stderr):
        assert_harmless(stream.decode())
    return done


def test_nothing_that_a_handler_says_acts_on_whoever_reads_it(tmp_path: Path) -> None:
    (tmp_path / "hostile.py").write_text(HANDLER)
    spec = {
        "tasks": 20,
        "agents": 2,
        "coordinators": 1,
        "attempts": 1,
        "pause_leader": False,
        "handler": "hostile:decide",
    }
    toml = "".join(f"{name} = {json.dumps(value)}\n" for name, value in spec.items())
    (tmp_path / "swarm.toml").write_text(toml)
    run = tmp_path / "run"

    done = asked(tmp_path, "run", "./swarm.toml", "--out", run)
    assert b"20 dead" in done.stdout or b"dead letters" in done.stdout, done
    document: dict[str, Any] = json.loads(asked(tmp_path, "check", run, "--json").stdout)
    assert document["dead_letters"] == 20
    asked(tmp_path, "check", run)
    register = next(
        fact
        for fact in map(json.loads, (run / "history.jsonl").read_bytes().splitlines())
        if fact.get("what") == "register"
    )
    told = asked(tmp_path, "trace", register["task"], "--run", run)
    assert b"pwned" in told.stdout
    asked(tmp_path, "trace", register["task"], "--run", run, "--json")
    asked(tmp_path, "report", run)

    page = (run / "report.html").read_text()
    assert not any(character in page for character in "\x1b\x9b\u202e\u2066\u200b")
    logs = [path.read_text() for path in (run / "logs").glob("agent-*.log")]
    assert any("pwned" in log for log in logs)
    for log in logs:
        assert_harmless(log)
        for line in log.splitlines():
            assert line.startswith(("20", "  ", "squall: a record of mine")), line
