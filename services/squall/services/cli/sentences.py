"""How a command fails: with one sentence and its remedy, and a document where one was asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import NoReturn

import typer

from squall.bus.border import printable
from squall.bus.errors import SquallError, first_error
from squall.services.printing import SENTENCE_LENGTH_MAX, print_document, say


def failing(kind: str, message: str, remedy: str, code: int, *, as_json: bool) -> NoReturn:
    """End with one sentence, and as a document where one was asked for."""
    if as_json:
        print_document(error_document(kind, message, remedy))
    say(f"{message}{'; ' + remedy if remedy else ''}")
    raise typer.Exit(code)


def error_document(kind: str, message: str, remedy: str) -> dict[str, dict[str, str]]:
    """What stands for a result where there is none."""
    texts = {"kind": kind, "message": message, "remedy": remedy}
    return {"error": {name: printable(text, SENTENCE_LENGTH_MAX) for name, text in texts.items()}}


@contextlib.contextmanager
def sentences(*, as_json: bool, prefer: type[SquallError] = SquallError) -> Iterator[None]:
    """Turn what was raised inside into one sentence and an exit code.

    Args:
        prefer: Of several errors, one of this type is told.
    """
    try:
        yield
    except (SquallError, BaseExceptionGroup) as group:
        error = first_error(group, prefer)
        if not isinstance(error, SquallError):
            raise
        failing(error.kind, error.sentence, error.remedy, error.exit_code, as_json=as_json)
