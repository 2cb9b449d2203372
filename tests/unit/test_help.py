"""What the command says of itself: its help, its version, what it completes, and what it reads."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.unit.shells import shell

from squall.chaos.errors import HarnessBrokenError
from squall.chaos.inject.toxiproxy import find
from squall.services.cli.help import ENVIRONMENT

ROOT = Path(__file__).parents[2]


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


OWN = {"MARK", "PYTHONHASHSEED"}
"""What only processes of ours set, for processes of ours."""

NAMED_BY_THE_USER = {"name"}
"""What a table of a spec names, and code has in a variable of this name."""


def test_every_variable_that_is_read_is_told_of(tmp_path: Path) -> None:
    read = set()
    for part in ("bus", "services", "chaos"):
        for path in (ROOT / part / "squall" / part).rglob("*.py"):
            source = path.read_text()
            constants = dict(re.findall(r'^(\w+) = "([A-Z_]+)"$', source, re.MULTILINE))
            for name in re.findall(r"environ(?:\.get\(|\[)([\w\"]+)", source):
                read.add(name.strip('"') if name.startswith('"') else constants.get(name, name))
    assert {"NATS_SERVER", "TOXIPROXY_SERVER", "NATS_CREDS", "NATS_CA", "XDG_CACHE_HOME"} <= read
    assert read - OWN - NAMED_BY_THE_USER <= set(ENVIRONMENT)
    shown = shell("squall --help", tmp_path, COLUMNS="80").stdout
    assert all(f"\n  {name} " in shown for name in ENVIRONMENT)


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", dict[int, object]().__getitem__)  # nobody is known
    with pytest.raises(HarnessBrokenError, match="has no home directory") as caught:
        find.cache()
    assert "XDG_CACHE_HOME" in caught.value.remedy
