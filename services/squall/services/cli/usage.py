"""Why a command line cannot be used, in the words of its options. Pure.

Invalid value for '--tasks': Input should be a valid integer, unable to …   ──►   --tasks takes a whole number
"""

from __future__ import annotations

import re

from typer.exceptions import TyperException

_TAKES = (
    (r"Input should be a valid integer.*", "takes a whole number"),
    (r"Input should be a valid number.*", "takes a number"),
    (r"Input should be greater than or equal to (.*)", r"takes at least \1"),
    (r"Input should be less than or equal to (.*)", r"takes at most \1"),
)
_VALUE = re.compile(r"Invalid value for '(?P<name>.*)': (?P<why>.*)", re.DOTALL)


def told(error: TyperException) -> tuple[str, str]:
    """What is wrong with a command line, and what to do: read the help of the command that was meant."""
    context = getattr(error, "ctx", None)
    command = "" if context is None or context.parent is None else f" {context.info_name}"
    return in_words(error.format_message().removesuffix(".")), f"see `squall{command} --help`"


def in_words(message: str) -> str:
    """What the library says, so that it can be read by whoever typed it."""
    if said := _VALUE.fullmatch(message):
        for theirs, ours in _TAKES:
            if why := re.fullmatch(theirs, said["why"], re.DOTALL):
                return f"{said['name']} {why.expand(ours)}"
    return message
