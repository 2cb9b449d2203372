"""The border: what comes from outside is checked, or made harmless, where it enters. Pure.

    a name     ──► subject, permission template, stream name, file name       `check_name`
    a text     ──► log line, terminal, page, dead letter                      `printable`
    a text     ──► a cell of a table, a page's element                        `masked`

Everything that an agent, a handler, a user or a broker says is *outside*. Bounds on the size and depth of
messages are `codec.py`'s; nats-py checks subjects once more behind this.
"""

from __future__ import annotations

import re

from squall.bus.errors import InvalidNameError

NAME_LENGTH_MAX = 40
"""Six tokens of this length and the fixed ones stay below 256 characters."""

REASON_LENGTH_MAX = 300
"""Of a sentence that says why something failed, in characters."""

_NAME = re.compile(rf"[a-z0-9][a-z0-9-]{{0,{NAME_LENGTH_MAX - 1}}}\Z")

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # control characters, which move cursors, and begin sequences that do more
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"  # end lines, turn the direction, or cannot be seen
    "\ud800-\udfff\ufff9-\ufffb\ufffe\uffff"  # halves of pairs, which UTF-8 cannot write, and no characters
    "\U000e0000-\U000e007f]"  # tags, which cannot be seen
)

_ANNOTATION = re.compile("::(?=[0-9a-fA-F]{0,4}[g-zG-Z-])|##(?=[a-zA-Z]*\\[)")
"""Where continuous integration would read a command in what is printed: `::error::`, `##[group]`, `##vso[`.

The shape keeps `[::1]` and `fe80::abcd`, which are addresses, as they are.
"""


def is_name(name: str) -> bool:
    """Whether this may become one token of a subject; see `check_name`."""
    return _NAME.match(name) is not None


def check_name(name: str, what: str = "name") -> str:
    """Return ``name`` if it may become one token of a subject.

    Args:
        name: At most `NAME_LENGTH_MAX` characters of a-z, 0-9 and hyphen, not beginning with a hyphen.
        what: What the name is of, for the message.

    Raises:
        InvalidNameError: It may not; the message says what a name looks like.
    """
    if _NAME.match(name) is None:
        raise InvalidNameError(
            f"{what} {printable(name, 60)!r} cannot be used: use 1 to {NAME_LENGTH_MAX} of the characters "
            "a-z, 0-9 and hyphen, beginning with a letter or digit"
        )
    return name


def printable(text: str, length_max: int = REASON_LENGTH_MAX) -> str:
    """A text on one line, cut to a length, in which whatever acts instead of being read is written out.

    Args:
        text: Anything, lone surrogates included.
        length_max: In characters; a text that was cut ends in an ellipsis.
    """
    shown = disarmed(_UNPRINTABLE.sub(_written_out, _cut(text, length_max)))
    return _cut(shown, length_max)


def masked(text: str, *, lines: bool = False) -> str:
    """A text of the same length: U+FFFD for what acts instead of being read, a space for white space.

    Args:
        text: Anything, lone surrogates included.
        lines: Whether line feeds stay.
    """
    return _UNPRINTABLE.sub(lambda found: _mask(found[0], lines=lines), text)


def disarmed(text: str) -> str:
    """A text of the same length in which nothing is a command for continuous integration that prints it."""
    return _ANNOTATION.sub(lambda found: f"{found[0][0]} ", text)


def escaped(document: str) -> str:
    """A JSON document of the same meaning in which whatever acts instead of being read is an escape.

    Args:
        document: Valid JSON without white space between its parts, so that only strings hold such characters.
    """
    plain = _UNPRINTABLE.sub(lambda found: _json_escape(found[0]), document)
    return plain.replace("##", "#\\u0023").replace("::", ":\\u003a")


def _cut(text: str, length_max: int) -> str:
    return text if len(text) <= length_max else text[: length_max - 1] + "…"


def _mask(found: str, *, lines: bool) -> str:
    if found == "\n" and lines:
        return found
    return " " if found in "\t\n\r" else "\N{REPLACEMENT CHARACTER}"


def _json_escape(found: str) -> str:
    units = found.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))


def _written_out(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code in (0x09, 0x0A, 0x0D):
        return " "
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
