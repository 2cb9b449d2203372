"""A header that is made from each effect: a name in braces stands for what there is of it. Pure.

{key}           the key of the effect, the same however often it is sent
{effect.leg.n}  a field of it, and a field of an object in it
{env.NAME}      what a variable of the environment holds, which no spec does
{{ and }}       a brace
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
"""A name that a header can have (RFC 9110, 5.1)."""

OURS = frozenset(
    {"idempotency-key", "content-type", "content-length", "transfer-encoding", "connection", "host"}
)
"""Headers that say how an effect is sent, which nothing else may."""

TEXT_LENGTH_MAX = 2_000
"""Of a header, before and after it is made, in characters."""

KEY, EFFECT, VARIABLE = "key", "effect", "env"


class UnfilledError(Exception):
    """A header cannot be made from an effect; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Template:
    """What a header is made of.

    Attributes:
        parts: Texts, and after each the path that names what follows it; None after the last.
    """

    parts: tuple[tuple[str, tuple[str, ...] | None], ...]

    @property
    def paths(self) -> tuple[tuple[str, ...], ...]:
        """What it names."""
        return tuple(path for _, path in self.parts if path is not None)

    @property
    def variables(self) -> frozenset[str]:
        """The variables of the environment that it names."""
        return frozenset(path[1] for path in self.paths if path[0] == VARIABLE)

    @property
    def is_of_one_effect(self) -> bool:
        """Whether it differs by effect."""
        return any(path[0] != VARIABLE for path in self.paths)

    def fill(self, key: str, effect: object, variables: Mapping[str, str]) -> str:
        """The header of one effect.

        Args:
            effect: As JSON has it.
            variables: What `variables` hold.

        Raises:
            UnfilledError: The effect lacks what is named, or has there what can be no header.
        """
        known = {KEY: key, EFFECT: effect, VARIABLE: variables}
        made = "".join(text + (_text(path, known) if path else "") for text, path in self.parts)
        if (
            not made.isascii()
            or not made.isprintable()
            or made != made.strip()
            or len(made) > TEXT_LENGTH_MAX
        ):
            raise UnfilledError("would be what no header can be")
        return made


def template(text: str) -> Template:
    """Read what a header is made of.

    Raises:
        ValueError: It is no template; the message says why, as the end of a sentence.
    """
    if len(text) > TEXT_LENGTH_MAX:
        raise ValueError(f"has more than {TEXT_LENGTH_MAX:,} characters")
    try:
        parsed = [*string.Formatter().parse(text)]
    except ValueError as error:
        raise ValueError("has a brace without its other; write {{ for one that stands for itself") from error
    parts: list[tuple[str, tuple[str, ...] | None]] = []
    for literal, name, form, conversion in parsed:
        if name is None:
            parts.append((literal, None))
            continue
        path = tuple(name.split("."))
        lengths = {KEY: 1, VARIABLE: 2}
        is_known = path[0] in (KEY, EFFECT, VARIABLE) and len(path) == lengths.get(path[0], max(2, len(path)))
        if not is_known or not all(path) or form or conversion:
            raise ValueError(f"names {{{name}}}, and there are {{key}}, {{effect.FIELD}} and {{env.NAME}}")
        parts.append((literal, path))
    return Template(tuple(parts))


def _text(path: Sequence[str], known: Mapping[str, object]) -> str:
    found: object = known
    for name in path:
        if not isinstance(found, Mapping) or name not in found:
            raise UnfilledError(f"is made of {{{'.'.join(path)}}}, which this effect has not")
        found = found[name]
    if isinstance(found, str):
        return found
    if isinstance(found, bool | int | float):
        return msgspec.json.encode(found).decode()
    raise UnfilledError(
        f"is made of {{{'.'.join(path)}}}, which is neither a text nor a number in this effect"
    )
