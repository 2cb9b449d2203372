"""A kind of what a spec names, a handler or a sink: told by how the name begins, and a file of its own."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType

from squall.services.errors import SpecError

NAME_LENGTH_MAX = 100
"""Of a name in a sentence, in characters."""

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind.

    Attributes:
        name: What it is called in a sentence.
        prefix: How names of it begin; empty for the kind of all other names.
        module: The file.
        example: A name of this kind.
        takes: Which fields of its table of a spec it has a use for.
    """

    name: str
    prefix: str
    module: str
    example: str
    takes: tuple[str, ...] = ()

    def file(self, package: str) -> ModuleType:
        """Its file, which is imported only where something of its kind is."""
        return importlib.import_module(f"{package}.{self.module}")


def check_variables(whose: str, names: Iterable[str]) -> None:
    """See that what a spec names as environment variables are names of some.

    Args:
        whose: Who is to be told them, at the beginning of a sentence.

    Raises:
        SpecError: One is not.
    """
    for name in names:
        if not VARIABLE.fullmatch(name):
            raise SpecError(
                f"{whose} is to be told a variable whose name is none",
                "give the name of an environment variable, never what it holds",
            )
