"""What runs is named with versions and hashes, in a file that holds no address and is not stale."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / ".ci" / "constraints.txt"
REMEDY = "run .ci/pin"

HASHES = r"(?:    --hash=sha256:[0-9a-f]{64}(?: \\\n|\n))+"
ENTRY = re.compile(r"([a-z0-9][a-z0-9.-]*)==([^\s;\\]+)(?: ; [^\\\n]+?)? \\\n(" + HASHES + ")")
DIRECT = re.compile(r"([A-Za-z0-9._-]+)(?:\[[a-z,]+\])?==([^;\s]+)")


def constraints(text: str) -> dict[str, str]:
    """Versions by name; everything in the text must be an entry."""
    found = ENTRY.findall(text)
    rest = ENTRY.sub("", text)
    assert rest.strip() == "", f"not an entry: {rest.strip()[:100]!r}"
    names = [name for name, _, _ in found]
    assert len(names) == len(set(names)), "a name has two versions"
    return {name: version for name, version, _ in found}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def direct(project: dict[str, Any]) -> dict[str, str]:
    """What the project names itself, but for the extra that nothing uses yet."""
    named = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"]["chaos"],
        *(each for group in project["dependency-groups"].values() for each in group if isinstance(each, str)),
        *project["build-system"]["requires"],
    ]
    pinned = {}
    for requirement in named:
        if requirement != "squall[chaos]":
            match = DIRECT.match(requirement)
            assert match, f"{requirement} has no exact version"
            pinned[match[1].lower().replace("_", "-")] = match[2]
    return pinned


def test_every_direct_dependency_is_there_in_its_version(project: dict[str, Any]) -> None:
    there = constraints(FILE.read_text())
    stale = {name: version for name, version in direct(project).items() if there.get(name) != version}
    assert stale == {}, REMEDY


def test_a_plain_uv_run_gets_the_same_versions(project: dict[str, Any]) -> None:
    there = constraints(FILE.read_text())
    named = dict(each.split("==") for each in project["tool"]["uv"]["constraint-dependencies"])
    assert {**direct(project), **named} == there, REMEDY
    building = dict(each.split("==") for each in project["tool"]["uv"]["build-constraint-dependencies"])
    assert building.items() <= there.items(), REMEDY


def test_what_builds_is_also_a_group(project: dict[str, Any]) -> None:
    assert project["build-system"]["requires"] == project["dependency-groups"]["build"]


def test_the_file_holds_no_address() -> None:
    text = FILE.read_text()
    assert not re.search(r"://|@|\bindex|find-links|\.(?:org|com|net|io)\b", text)


@pytest.mark.parametrize(
    "text",
    [
        "msgspec==0.22.0\n",
        "msgspec>=0.22.0 \\\n    --hash=sha256:" + "0" * 64 + "\n",
        "msgspec==0.22.0 \\\n    --hash=md5:" + "0" * 32 + "\n",
        "--index-url https://packages.example\n",
    ],
)
def test_an_entry_without_version_or_hash_would_be_seen(text: str) -> None:
    with pytest.raises(AssertionError):
        constraints(text)
