"""Why a text is no TOML, in words for whoever wrote it. Pure."""

from __future__ import annotations

import re
import tomllib

_WORDS = {
    "Unterminated string": "a quote is not closed",
    "Illegal character '\\n'": "a quote is not closed",
    'Expected "\'"': "a quote is not closed",
    "Expected \"'''\"": "a quote is not closed",
    'Expected \'"""\'': "a quote is not closed",
    "Expected '=' after a key in a key/value pair": "there is no = after a name",
    "Invalid initial character for a key part": "a name is missing, or needs quotes",
    "Invalid statement": "it is neither name = value nor [table]",
    "Invalid value": "after = is no value; a text stands in quotes",
    "Unclosed array": "a [ is not closed",
    "Unclosed inline table": "a { is not closed",
    "Cannot overwrite a value": "a name is there for the second time",
    "Expected newline or end of document after a statement": "a value is followed by something else",
    "Expected ']' at the end of a table declaration": "a [ is not closed",
    "Expected ']]' at the end of an array declaration": "a [[ is not closed",
}
"""What the standard library says by how it reads, and what it means."""

_PLACED = re.compile(r"(?P<what>.*) \(at (?:line (?P<line>\d+), column \d+|end of document)\)$", re.DOTALL)


def why_no_toml(error: tomllib.TOMLDecodeError) -> str:
    """What is wrong, and in which line."""
    said = _PLACED.match(str(error))
    if said is None:
        return str(error)
    what = said["what"]
    where = f"in line {said['line']}" if said["line"] else "at its end"
    return f"{where}, {_WORDS.get(what, what[:1].lower() + what[1:])}"
