"""Values written as TOML, which the standard library only reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec


def as_toml(values: Mapping[str, Any]) -> str:
    """A TOML document of values that `tomllib` reads back as they are.

    Args:
        values: Names that need no quotes, with strings, numbers, lists, tables, or lists of tables, these
            last.
    """
    tables = {name: value for name, value in values.items() if _is_tables(value)}
    lines = [f"{name} = {_value(value)}" for name, value in values.items() if name not in tables]
    for name, rows in tables.items():
        for row in rows:
            lines += ["", f"[[{name}]]", *(f"{key} = {_value(value)}" for key, value in row.items())]
    return "\n".join(lines) + "\n"


def _is_tables(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], Mapping)


_BARE = re.compile(r"[A-Za-z0-9_-]+")
"""A name that needs no quotes."""


def _key(name: str) -> str:
    return name if _BARE.fullmatch(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(name)} = {_value(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    # JSON's strings, numbers, booleans and lists are TOML's, too, but for one character.
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
