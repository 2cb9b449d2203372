"""Why a value of a spec is refused, in the words of the file that it stands in. Pure.

agents = 0 is too few: at least 1
rate_per_s = inf is no finite number
venue = "dum" is no choice: there is "dumb", "idempotent"
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import inspect

from squall.services.run.toml_writer import as_toml

NUMBER_MAX = 1e9
"""Of whatever number in a spec may have a fraction; thirty years, where it is seconds. Beyond, a timer of the
broker's or of ours cannot hold it, and JSON has no infinity."""

PER_OR_OF_SECONDS_MIN = 1e-3
"""Of a number of seconds, or of how many a second: no timer here is finer, and a task each quarter of an hour
is the slowest that anybody would wait for. Zero is allowed where the field allows it."""

VALUE_LENGTH_MAX = 60


def refusal(values: Mapping[str, Any], kind: type[msgspec.Struct]) -> str | None:
    """Why the first of these values that cannot be used cannot; None if each by itself can be.

    Args:
        kind: The spec that has fields of these names.
    """
    fields = {field.name: field.type for field in inspect.type_info(kind).fields}  # type: ignore[attr-defined]
    for name, value in values.items():
        if name in fields and (why := refuse(name, value, fields[name])):
            return why
    return None


def refuse(name: str, value: object, kind: Any) -> str | None:
    """Why a value cannot be that of a field; None if it can.

    Args:
        kind: The field's type, or what `msgspec.inspect.type_info` says of it.
    """
    why = _why(name, value, kind if isinstance(kind, inspect.Type) else inspect.type_info(kind))
    return None if why is None else f"{name} = {_shown(value)} {why}"


def _why(name: str, value: object, kind: inspect.Type) -> str | None:
    match kind:
        case inspect.IntType():
            if isinstance(value, bool) or not isinstance(value, int):
                return "is no whole number"
            is_count = kind.ge is not None and kind.ge >= 0
            return _beyond(value, kind, "few" if is_count else "small", "many" if is_count else "large")
        case inspect.FloatType():
            if isinstance(value, bool) or not isinstance(value, int | float):
                return "is no number"
            return _why_number(name, value, kind)
        case inspect.BoolType():
            return None if isinstance(value, bool) else "is neither true nor false"
        case inspect.StrType():
            return None if isinstance(value, str) else "is no text, which stands in quotes"
        case inspect.DictType(value_type=inspect.StrType()):
            if not isinstance(value, dict):
                return 'is no table, as {NAME = "text"} is'
            wrong = next((each for each, text in value.items() if not isinstance(text, str)), None)
            return None if wrong is None else f"has no text for {_shown(wrong)}"
        case inspect.LiteralType():
            choices = [_shown(each) for each in kind.values]
            return None if value in kind.values else f"is no choice: there is {', '.join(choices)}"
    return None


def _why_number(name: str, value: float, kind: inspect.FloatType) -> str | None:
    if not math.isfinite(value):
        return "is no finite number"
    if value > NUMBER_MAX:
        return f"is too large: at most {NUMBER_MAX:,.0f}"
    is_zero_fine = kind.ge == 0
    has_no_bound = not kind.ge and not kind.gt
    if (
        name.endswith("_s")
        and has_no_bound
        and value < PER_OR_OF_SECONDS_MIN
        and not (value == 0 and is_zero_fine)
    ):
        return f"is too small: {'0, or ' if is_zero_fine else ''}at least {PER_OR_OF_SECONDS_MIN:g}"
    return _beyond(value, kind, "small", "large")


def _beyond(value: float, kind: inspect.IntType | inspect.FloatType, small: str, large: str) -> str | None:
    if kind.ge is not None and value < kind.ge:
        return f"is too {small}: at least {kind.ge:,}"
    if kind.gt is not None and value <= kind.gt:
        return f"is too {small}: more than {kind.gt:,}"
    if kind.le is not None and value > kind.le:
        return f"is too {large}: at most {kind.le:,}"
    if kind.lt is not None and value >= kind.lt:
        return f"is too {large}: less than {kind.lt:,}"
    return None


def _shown(value: object) -> str:
    """A value as a file has it."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value:g}"
    try:
        shown = as_toml({"value": value}).removeprefix("value = ").strip()
    except (TypeError, UnicodeEncodeError, OverflowError):
        shown = str(value)
    return shown if len(shown) <= VALUE_LENGTH_MAX else f"{shown[: VALUE_LENGTH_MAX - 1]}…"
