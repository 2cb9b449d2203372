"""What is said of a run of star: its verdicts, its figures and its page, all of one run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from squall.services.run.result import Result

pytestmark = [pytest.mark.nats, pytest.mark.slow]

SQUALL = Path(sys.executable).parent / "squall"
TASKS, SEED, BOUND = 1200, 5, 100


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a run whose leader stands still, under a bound that cuts many orders."""
    folder = tmp_path_factory.mktemp("star")
    (folder / "swarm.toml").write_text(
        f'pattern = "star"\ntasks = {TASKS}\nrate_per_s = 300.0\nseed = {SEED}\nexposure_max = {BOUND}\n'
    )
    ended = subprocess.run(
        [SQUALL, "run", folder / "swarm.toml", "--out", folder / "run", "--json"],
        capture_output=True,
        check=False,
        timeout=240,
    )
    (folder / "document.json").write_bytes(ended.stdout)
    (folder / "code").write_text(str(ended.returncode))
    yield folder / "run"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def document(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run.parent / "document.json").read_bytes())
    return loaded


def verdicts(document: dict[str, Any]) -> dict[str, str]:
    return {check["id"]: check["verdict"] for check in document["checks"]}


def test_every_promise_holds(run: Path, document: dict[str, Any]) -> None:
    assert (run.parent / "code").read_text() == "0", document
    msgspec.convert(document, Result, strict=True)
    assert {"S1", "S2", "S3", "S4", "S6", "E1", "U1"} <= set(verdicts(document))
    assert set(verdicts(document).values()) == {"pass"}


def test_every_task_has_one_effect_and_the_fail_over_was_timed(document: dict[str, Any]) -> None:
    assert (document["offered"], document["accepted"], document["effects"]) == (TASKS,) * 3
    assert (document["lost"], document["duplicated"], document["conflicting"]) == (0, 0, 0)
    assert document["refused_writes"] >= 1
    assert 0 < document["recovery_s"]["detect"] <= document["recovery_s"]["failover"]


def test_a_line_less_and_nothing_passes(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    history = copy / "history.jsonl"
    kept = history.read_bytes().splitlines(keepends=True)
    history.write_bytes(b"".join(kept[:100] + kept[101:]))
    less = subprocess.run([SQUALL, "check", copy, "--json"], capture_output=True, check=False)
    assert less.returncode in (1, 3)
    assert "pass" not in verdicts(json.loads(less.stdout)).values()


def test_the_page_shows_the_hub_between_spokes_and_gateway(run: Path) -> None:
    page = (run / "report.html").read_text()
    for said in ("hub-1", "hub-2", "S1", "single-writer", "E1"):
        assert said in page
