"""The command lines of README and its pages, in their order, and the files that it shows; pure.

uv run squall plan star        # an indented line
squall run fan-out             # the same
```toml
# swarm.toml      uv run squall run ./swarm.toml       a file, and after two spaces what is done with it
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

README = ROOT / "README.md"
OWN_PATTERN = ROOT / "services/OWN-PATTERN.md"

_COMMAND = re.compile(r"(uv [a-z]|squall [a-z-]|pytest\b|python |\.ci/|git |cd )")
_FILE = re.compile(r"# (?P<name>[\w./-]+\.\w+)(?:: [^`]*| {2,}(?P<command>.*))?$")
_EXIT = re.compile(r"exits? (?:with )?(?P<code>\d+)")


@dataclass(frozen=True)
class Line:
    """A command line.

    Attributes:
        text: As it is typed, without its comment.
        code: The exit code that its comment says; 0 unless it says one.
    """

    text: str
    code: int = 0


def lines_of(text: str) -> list[Line]:
    """Every command line, in order."""
    return list(_lines(re.sub(r"\\\n\s*", "", text)))


def files_of(text: str) -> dict[str, str]:
    """What README shows of files that a reader is to write, by their names."""
    found = {}
    for block in re.findall(r"^```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        if named := _FILE.match(block.splitlines()[0]):
            found[named["name"]] = block
    return found


def _lines(text: str) -> Iterator[Line]:
    fence = ""
    is_first = False
    for line in text.splitlines():
        if line.startswith("```"):
            fence = "" if fence else line
            is_first = bool(fence)
            continue
        command = ""
        if fence and is_first and (named := _FILE.match(line)):
            command = named["command"] or ""
        elif fence in ("```sh", "```bash", "```console"):
            command = line.removeprefix("$ ")
        elif not fence and line.startswith("    "):
            command = line.strip()
        is_first = False
        if _COMMAND.match(command):
            typed, _, comment = command.partition(" #")
            said = _EXIT.search(comment)
            yield Line(typed.strip(), int(said["code"]) if said else 0)
