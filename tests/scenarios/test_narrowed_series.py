"""A series of a swarm of one's own, under one kind of fault: it is held to what that could exercise."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from tests.scenarios.series_once import SQUALL, squall

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow]


@pytest.fixture(scope="module")
def narrowed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    folder = tmp_path_factory.mktemp("narrowed")
    (folder / "swarm.toml").write_text("slots = 6\n")
    asked = ["chaos", "./swarm.toml", "--fault", "crash@any-agent", "--rate", "50", "--out", "series"]
    done = subprocess.run([SQUALL, *asked], cwd=folder, capture_output=True, text=True, timeout=240)
    return folder / "series", done


def test_what_it_did_not_exercise_is_said_and_no_matter(
    narrowed: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    series, done = narrowed
    assert done.returncode == 0, done.stdout + done.stderr
    said = {line.split()[0]: line for line in done.stdout.splitlines() if line[:2] in ("H1", "H4")}
    assert "pass" in said["H1"]
    assert "not exercised" in said["H4"]
    spec = (series / "seed-1" / "spec.toml").read_text()
    assert "slots = 6" in spec
    assert "rate_per_s = 50" in spec


def test_a_series_whose_first_run_is_refused_leaves_nothing(tmp_path: Path) -> None:
    """So the same command can be given again, and nobody asks what became of its runs."""
    (tmp_path / "mine.py").write_text("import no_such_library\n")
    asked = [
        "chaos",
        "hierarchical",
        "--fault",
        "crash@any-agent",
        "--handler",
        "mine:decide",
        "--out",
        "a/b",
    ]
    done = subprocess.run([SQUALL, *asked], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == 2, done.stderr
    assert "the handler mine:decide cannot be imported" in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir() if path.name != "__pycache__"] == ["mine.py"]


def test_a_run_that_is_ended_for_its_handler_says_the_same_from_its_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def decide(task):\n    raise LookupError('no quote')\n")
    asked = ["chaos", "hierarchical", "--fault", "crash@any-agent", "--handler", "mine:decide", "--out", "s"]
    done = subprocess.run([SQUALL, *asked], cwd=tmp_path, capture_output=True, text=True, timeout=240)
    said = "he handler mine:decide raised LookupError: no quote, at mine.py:2 in decide ("
    assert (done.returncode, said in done.stderr.splitlines()[-1]) == (1, True), done.stderr
    run = tmp_path / "s" / "seed-1"
    document = json.loads((run / "result.json").read_text())
    failed = {check["id"]: check["detail"] for check in document["checks"] if check["verdict"] == "fail"}
    assert list(failed) == ["W1"]
    assert failed["W1"].startswith(f"T{said}")
    assert said in (run / "report.html").read_text()
    assert said in (run / "junit.xml").read_text()
    assert json.loads(squall("check", run, "--json", code=1))["checks"] == document["checks"]


def test_it_is_the_same_from_the_directory_alone_unless_it_is_to_be_strict(
    narrowed: tuple[Path, subprocess.CompletedProcess[str]],
) -> None:
    series, _ = narrowed
    assert json.loads(squall("check", series, "--json"))["verdict"] == "pass"
    planned = series / "series.json"
    planned.write_text(json.dumps({**json.loads(planned.read_text()), "strict": True}))
    assert json.loads(squall("check", series, "--json", code=3))["verdict"] == "unknown"
