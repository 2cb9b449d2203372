"""`squall init`: files to begin with, none of which takes the place of one that is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from squall.services.cli import init
from squall.services.errors import SpecError
from squall.services.intake.store import Taken, take_in
from squall.services.run.swarm_toml import load


def test_what_it_writes_is_a_swarm_with_ten_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    init.write(tmp_path / "a/b")
    assert {path.name for path in (tmp_path / "a/b").iterdir()} == set(init.FILES)
    monkeypatch.chdir(tmp_path / "a/b")
    spec = load(Path("swarm.toml"))
    (tmp_path / "run").mkdir()
    assert take_in(spec.tasks_from, tmp_path / "run") == Taken(10)


@pytest.mark.parametrize("name", init.FILES)
def test_it_writes_over_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(SpecError, match="is there already"):
        init.write(tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match="cannot be written: Not a directory"):
        init.write(tmp_path / "file/sub")


@pytest.mark.everything
@pytest.mark.nats
@pytest.mark.swarm
@pytest.mark.toxiproxy
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_all_of_it_passes_as_it_is(tmp_path: Path) -> None:
    bin_ = Path(sys.executable).parent
    for command in (["squall", "init", "demo"], ["squall", "run", "swarm.toml"], ["pytest", "-q"]):
        folder = tmp_path / "demo" if command[1] != "init" else tmp_path
        ended = subprocess.run(
            [bin_ / command[0], *command[1:]], cwd=folder, capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
