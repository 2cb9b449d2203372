"""`squall init`: files to begin with, none of which takes the place of one that is there."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from squall.services.cli import init
from squall.services.errors import SpecError
from squall.services.intake.store import Taken, take_in
from squall.services.run.swarm_toml import load


@pytest.mark.parametrize("agent", init.FLAVOURS)
def test_what_it_writes_is_a_swarm_with_ten_tasks(
    agent: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = init.write(tmp_path / "a/b", agent)
    assert {path.name for path in (tmp_path / "a/b").iterdir()} == set(written)
    monkeypatch.chdir(tmp_path / "a/b")
    spec = load(Path("swarm.toml"))
    assert spec.handler == init.FLAVOURS[agent].handler
    assert (spec.handler_server, f'handler="{spec.handler}"' in Path("test_mine.py").read_text()) == (
        init.FLAVOURS[agent].server,
        True,
    )
    (tmp_path / "run").mkdir()
    assert take_in(spec.tasks_from, tmp_path / "run") == Taken(10)


@pytest.mark.parametrize("name", [*init.SHARED, *init.FLAVOURS["python"].files])
def test_it_writes_over_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(SpecError, match="is there already"):
        init.write(tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SpecError, match="cannot be written: Not a directory"):
        init.write(tmp_path / "file/sub")


@pytest.mark.parametrize(
    ("agent", "remedy"),
    [
        ("pydantic", "did you mean pydantic-ai?"),
        ("../x", "there are python, exec, http, nats, pydantic-ai, langgraph"),
    ],
)
def test_a_flavour_that_is_none_is_one_sentence(agent: str, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=re.escape(f"an agent cannot be made with '{agent}'")) as error:
        init.write(tmp_path, agent)
    assert error.value.remedy == remedy
    assert list(tmp_path.iterdir()) == []


NEEDS = {"pydantic-ai": "pydantic_ai", "langgraph": "langgraph"}


@pytest.mark.everything
@pytest.mark.nats
@pytest.mark.swarm
@pytest.mark.toxiproxy
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("agent", init.FLAVOURS)
def test_all_of_it_passes_as_it_is(agent: str, tmp_path: Path) -> None:
    if agent in NEEDS:
        pytest.importorskip(NEEDS[agent])
    bin_ = Path(sys.executable).parent
    with contextlib.ExitStack() as held:
        for command in (
            ["squall", "init", "demo", "--agent", agent],
            ["squall", "run", "swarm.toml"],
            ["pytest", "-q"],
        ):
            folder = tmp_path / "demo" if command[1] != "init" else tmp_path
            ended = subprocess.run(
                [bin_ / command[0], *command[1:]], cwd=folder, capture_output=True, text=True, check=False
            )
            assert ended.returncode == 0, (command, ended.stdout, ended.stderr)
            if command[1] == "init" and agent == "nats":
                held.enter_context(running("nats-server", "--addr", "127.0.0.1", "--port", "8766"))
            if command[1] == "init" and agent in ("http", "nats"):
                held.enter_context(running(sys.executable, tmp_path / "demo/agent.py"))


@contextlib.contextmanager
def running(*command: Any) -> Iterator[None]:
    """As the steps say, it is started before the swarm, and a client that comes first tries again."""
    with subprocess.Popen(command) as process:
        try:
            yield
        finally:
            process.kill()
