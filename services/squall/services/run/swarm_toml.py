"""From a `swarm.toml`, or from what a command was told, to the spec of a swarm of some pattern."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import msgspec

from squall.services.effects.kinds import FIELDS
from squall.services.errors import SpecError
from squall.services.handlers import kinds
from squall.services.intake import subject
from squall.services.intake.source import is_streamed
from squall.services.intake.store import TASKS_MAX
from squall.services.patterns import DEFAULT, pattern_of
from squall.services.run.spec import OWN, Spec, check_common
from squall.services.run.toml_errors import why_no_toml
from squall.services.run.values import refusal


def load(path: Path) -> Spec:
    """Read a `swarm.toml`, strictly.

    Raises:
        SpecError: It cannot be read, or says something that no spec of its pattern says.
    """
    return convert(read(path), str(path))


def read(path: Path) -> dict[str, Any]:
    """What a `swarm.toml` says, and nothing else.

    Raises:
        SpecError: It cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a mark first
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{path} is not valid TOML: {why_no_toml(error)}") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path} is not text in UTF-8", "save it as UTF-8") from error


def convert(values: dict[str, Any], origin: str) -> Spec:
    """Make a spec of values from outside.

    Args:
        origin: Whose values they are, for the error.

    Raises:
        SpecError: There is no such pattern, or it has no such field, or a value has the wrong type or is out
            of bounds, or the values contradict each other.
    """
    values = _with_table(values, "handler", HANDLER_FIELDS, origin)
    values = with_tasks(_with_table(values, "effects", EFFECTS_FIELDS, origin), origin)
    name = values.get("pattern", DEFAULT)
    if not isinstance(name, str):
        raise SpecError(f"{origin}: {refusal(values, Spec)}")
    pattern = pattern_of(name)
    known = pattern.spec.__struct_fields__
    if OPENING in known and is_streamed(str(values.get("tasks_from", ""))):
        values = {OPENING: False, **values}  # nobody knows when the middle of such a run is
    for field in values:
        if field not in known:
            raise SpecError(f"{origin} says {field!r}, which no spec of {name} has{nearest(field, known)}")
    why = refusal(values, pattern.spec)
    if why is not None:
        raise SpecError(f"{origin}: {why}")
    try:
        spec = msgspec.convert({**values, "pattern": name}, pattern.spec, strict=True)
    except msgspec.ValidationError as error:
        raise SpecError(f"{origin} is not usable: {error}") from error
    check_common(spec)
    pattern.check(spec)
    return spec


HANDLER_FIELDS = ("use", "idempotent", *kinds.FIELDS)
"""What ``[handler]`` may say."""


EFFECTS_FIELDS = ("use", *FIELDS)
"""What ``[effects]`` may say."""


OPENING = "pause_leader"
"""The field of a spec whose swarms are shown to survive something in the middle of a run."""


TASKS_FIELDS = ("use", "number", *subject.FIELDS)
"""What ``[tasks]`` may say."""


def _with_table(values: dict[str, Any], name: str, fields: Collection[str], origin: str) -> dict[str, Any]:
    """The values with what a table of this name says in fields of the spec.

    Raises:
        SpecError: It says something that no such table has.
    """
    table = values.get(name)
    if not isinstance(table, dict):
        return values
    for field in table:
        if field not in fields:
            whose = f"{field!r} of {name if name == 'effects' else f'the {name}'}"
            raise SpecError(f"{origin} says {whose}, which none has{nearest(field, fields)}")
    found = {each: value for each, value in values.items() if each != name}
    found |= {name if field == "use" else f"{name}_{field}": value for field, value in table.items()}
    return found


def with_tasks(values: dict[str, Any], origin: str) -> dict[str, Any]:
    """The same values, with those that follow from a user bringing tasks of his own.

    Where ``tasks`` is a text, or a table, it says where they are read; all of them are offered if nothing
    says how many.

    Raises:
        SpecError: The table says something that none has.
    """
    values = dict(_with_table(values, "tasks", TASKS_FIELDS, origin))
    number = values.pop("tasks_number", None)
    if isinstance(values.get("tasks"), str):
        values["tasks_from"] = values.pop("tasks")
    if number is not None:
        values["tasks"] = number
    if values.get("tasks_from"):
        values = {"tasks": TASKS_MAX, **values, "workload": OWN}
    return values


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that is not known: which one was meant, or all there are."""
    near = difflib.get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"
