"""What a known-bad variant puts in the place of something must be there, or it changes nothing."""

from __future__ import annotations

import ast
import builtins
import importlib
from pathlib import Path
from typing import Any

import pytest

from squall.chaos import mutants

FILES = sorted(path for folder in mutants.__path__ for path in Path(folder).rglob("*.py"))


def imported(tree: ast.AST) -> dict[str, Any]:
    """What a file imports of Squall, by the name that it has there."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("squall."):
            module = importlib.import_module(node.module or "")
            for name in node.names:
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")
                found[name.asname or name.name] = getattr(module, name.name)
    return found


def replaced(tree: ast.AST) -> list[tuple[str, str]]:
    """What it assigns to, as a name and an attribute of it."""
    targets = [target for node in ast.walk(tree) if isinstance(node, ast.Assign) for target in node.targets]
    return [
        (target.value.id, target.attr)
        for target in targets
        if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name)
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_a_variant_replaces_is_there(path: Path) -> None:
    tree = ast.parse(path.read_text())
    known = imported(tree)
    missing = [
        f"{name}.{attribute}"
        for name, attribute in replaced(tree)
        if name in known and not hasattr(known[name], attribute) and not hasattr(builtins, attribute)
    ]
    assert not missing
