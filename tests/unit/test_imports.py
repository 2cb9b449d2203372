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
    "nacl": ("bus/squall/bus/signing.py",),
    "nkeys": ("bus/squall/bus/keys.py",),
    "e2b": ("services/squall/services/launch/sandboxes.py",),
    "toxiproxy": ("chaos/squall/chaos/inject/toxiproxy/api.py",),
    "sqlite3": (
        "services/squall/services/roles/venue.py",
        "services/squall/services/intake/store.py",
        "services/squall/services/intake/arrivals.py",
        "services/squall/services/effects/journal.py",
        "chaos/squall/chaos/evidence/venue.py",
    ),
    "httpx": (
        "services/squall/services/node/venue_http.py",
        "services/squall/services/handlers/http.py",
        "services/squall/services/effects/http.py",
        "services/squall/services/users_service.py",
    ),
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
    "chaos/squall/chaos/model",
)
IO = {"asyncio", "socket", "subprocess", "os", "pathlib", "sqlite3", "httpx", "nats", "time"}


def drawn() -> dict[str, set[str]]:
    """The arrows of ARCHITECTURE's first picture: what each room may import of its part, by ``part/room``."""
    picture = (ROOT / "ARCHITECTURE.md").read_text().split("```")[1]
    arrows: dict[str, set[str]] = {}
    part = ""
    for line in picture.splitlines():
        if head := re.match(r" (\w+)/squall/", line):
            part = head[1]
        elif room := re.match(r"   (\w+) +(?:─► ((?:\w+ )+) )?", line):
            arrows[f"{part}/{room[1]}"] = set((room[2] or "").split())
    return arrows


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module.startswith("squall"):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def sources(part: str) -> list[Path]:
    """Without what `squall init` writes, which is its user's."""
    return sorted(path for path in PARTS[part].rglob("*.py") if "starter" not in path.parts)


@pytest.mark.parametrize("part", PARTS)
def test_imports_point_one_way(part: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in sources(part)
        for name in imports(path)
        if name.startswith("squall.") and name.split(".")[1] not in MAY_IMPORT[part]
    ]
    assert wrong == []


@pytest.mark.parametrize("room", [room for room in drawn() if not room.startswith("bus/")])
def test_the_map_of_the_house_is_true(room: str) -> None:
    """Each arrow is an import, and each import between rooms an arrow."""
    part, name = room.split("/")
    rooms = {other.split("/")[1] for other in drawn() if other.startswith(f"{part}/")}
    used = {
        imported.split(".")[2]
        for path in (PARTS[part] / name).rglob("*.py")
        for imported in imports(path)
        if imported.startswith(f"squall.{part}.")
    }
    assert used & rooms - {name} == drawn()[room]


def test_a_fault_and_a_verdict_flow_one_way_through_the_harness() -> None:
    """plan ← inject → (files) → evidence ← judge ← tell."""
    order = ["plan", "evidence", "judge", "tell"]
    arrows = drawn()
    assert arrows["chaos/inject"] == {"plan"}
    for place, room in enumerate(order):
        assert arrows[f"chaos/{room}"] <= set(order[:place])


@pytest.mark.parametrize("part", ["services", "chaos"])
def test_every_room_is_on_the_map(part: str) -> None:
    there = {path.name for path in PARTS[part].iterdir() if (path / "__init__.py").exists()}
    assert there == {room.split("/")[1] for room in drawn() if room.startswith(f"{part}/")}


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


OWN = ("patterns/{name}.py", "bus/topology/{name}.py", "judge/checks/{name}", "mutants/{name}/")
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


def test_a_node_begins_with_no_more_than_every_node_needs() -> None:
    """Each import is paid by every node at every start; HTTP is the gateway's and the venue's."""
    asked = "import sys, squall.services.node.process; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert not {"httpx", "starlette", "uvicorn", "rich", "typer", "hypothesis"} & set(done.stdout.split())
