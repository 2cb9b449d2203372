"""A command that is told as a hint works as it is pasted."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from squall.services.run.hints import command, trace


@pytest.mark.parametrize(
    ("run", "named"),
    [
        ("runs/one", "runs/one"),
        ("my runs/o'ne", "my runs/o'ne"),
        ("-run", "./-run"),
        ("/elsewhere/$(run)", "/elsewhere/$(run)"),
    ],
)
@pytest.mark.parametrize("absolute", [False, True])
def test_a_path_is_named_from_the_current_folder_and_read_back_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: str, named: str, absolute: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / run if absolute else Path(run)
    assert shlex.split(trace("a-1", path)) == ["squall", "trace", "a-1", "--run", named]
    assert shlex.split(command("check", path)) == ["squall", "check", named]
