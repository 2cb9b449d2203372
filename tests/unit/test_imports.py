"""Imports point one way, each outside library has its doors, and what decides does no I/O."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from squall.services.patterns import PATTERNS

ROOT = Path(__file__).parents[2]
PARTS = {part: ROOT / part / "squall" / part for part in ("bus", "services", "chaos")}
MAY_IMPORT = {"bus": {"bus"}, "services": {"bus", "services"}, "chaos": {"bus", "services", "chaos"}}

DOORS = {
    "nats": ("bus/",),
    "nkeys": ("bus/squall/bus/keys.py",),
    "e2b": ("services/squall/services/launch/sandboxes.py",),
    "toxiproxy": ("chaos/squall/chaos/inject/toxiproxy/api.py",),
    "sqlite3": ("services/squall/services/roles/venue.py", "chaos/squall/chaos/evidence/venue.py"),
    "httpx": ("services/squall/services/roles/venue_client.py",),
    "starlette": ("services/squall/services/roles/venue.py",),
    "uvicorn": ("services/squall/services/roles/venue.py",),
}
TYPES_ONLY = {"nats.aio.msg"}
"""What callbacks are handed; naming the type is no door."""

PURE = (
    "bus/squall/bus/topology",
    "services/squall/services/rules",
    "chaos/squall/chaos/plan",
    "chaos/squall/chaos/judge",
)
IO = {"asyncio", "socket", "subprocess", "os", "pathlib", "sqlite3", "httpx", "nats", "time"}


ROOMS = {
    "plan": {"plan"},
    "inject": {"plan", "inject"},
    "evidence": {"evidence"},
    "judge": {"plan", "evidence", "judge"},
    "tell": {"plan", "evidence", "judge", "tell"},
}
"""Of the harness: plan ← inject → (files) → evidence ← judge ← tell. What steers them may use all of them."""


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module.startswith("squall"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(part: str) -> list[Path]:
    return sorted(PARTS[part].rglob("*.py"))


@pytest.mark.parametrize("part", PARTS)
def test_imports_point_one_way(part: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(part)
        for name in imports(path)
        if name.startswith("squall.") and name.split(".")[1] not in MAY_IMPORT[part]
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_a_fault_and_a_verdict_flow_one_way_through_the_harness(room: str) -> None:
    folder = PARTS["chaos"] / room
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sorted(folder.rglob("*.py"))
        for name in imports(path)
        if name.startswith("squall.chaos.") and name.split(".")[2] not in {*ROOMS[room], "errors"}
    ]
    assert wrong == []


def test_the_rooms_of_the_harness_are_all_there() -> None:
    there = {path.name for path in PARTS["chaos"].iterdir() if (path / "__init__.py").exists()}
    assert there == {*ROOMS, "cli", "mutants"}


def test_each_outside_library_has_its_door() -> None:
    wrong = []
    for part in PARTS:
        for path in sources(part):
            here = str(path.relative_to(ROOT))
            for name in imports(path):
                doors = DOORS.get(name.split(".")[0])
                if doors and name not in TYPES_ONLY and not any(here.startswith(door) for door in doors):
                    wrong.append(f"{here} imports {name}")
    assert wrong == []


def test_what_decides_does_no_io() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for folder in PURE
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name in imports(path)
        if name.split(".")[0] in IO
    ]
    assert wrong == []


def test_a_wrong_arrow_would_be_seen(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from squall.chaos import judge\nimport nats.aio.client\n")
    assert {"squall.chaos", "squall.chaos.judge", "nats.aio.client"} <= set(imports(wrong))


def test_there_is_one_namespace_and_each_part_is_typed() -> None:
    for part, folder in PARTS.items():
        assert not (folder.parent / "__init__.py").exists(), f"{part} would close the namespace"
        assert (folder / "py.typed").exists()


def test_a_run_is_judged_without_the_harness_being_installed() -> None:
    hide = "import sys; sys.modules.update(requests=None, toxiproxy=None)"
    commands = "import squall.chaos.cli.check, squall.chaos.cli.report"
    subprocess.run([sys.executable, "-c", f"{hide}; {commands}"], check=True, timeout=60)


OWN = ("patterns/{name}.py", "bus/topology/{name}.py", "judge/checks/{name}.py", "mutants/{name}/")
"""Where a pattern is named: its value, its topology, its checks and its mutants; its roles name its value."""


@pytest.mark.parametrize("name", PATTERNS)
def test_nobody_but_a_pattern_itself_names_it(name: str) -> None:
    """The line in each registry is what a new pattern adds to files that there are."""
    registries = ("services/patterns/__init__.py", "judge/checks/__init__.py", "mutants/catalogues.py")
    roles = set(PATTERNS[name].roles.values())
    word = re.compile(rf"(?i)(?<![a-z]){name.replace('-', '[-_]?')}(?![a-rt-z])")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for part in PARTS
        for path in sources(part)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if word.search(line)
        and not any(own.format(name=name.replace("-", "_")) in str(path) for own in OWN)
        and not str(path).endswith(registries)
        and ".".join(path.relative_to(PARTS[part].parents[1]).with_suffix("").parts) not in roles
    ]
    assert wrong == []
