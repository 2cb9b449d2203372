"""A terminal as a program sees it: what stands on it after each piece of output, and whether a line ran over.

It knows what Rich's live display writes: texts, carriage return, line feed, cursor up, erase line, colours.
"""

from __future__ import annotations

import codecs
import re

_PIECE = re.compile(
    r"\x1b\[(?P<count>\d*)A|(?P<erase>\x1b\[2K)|(?P<other>\x1b\[[0-9;?]*[a-zA-Z])|(?P<control>[\r\n])"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;?]*)?\Z")


class Screen:
    """A terminal of so many columns, which scrolls for ever.

    Attributes:
        frames: What stood on it after each piece of output.
        overruns: Texts that did not fit on their line, so that a real terminal would have wrapped them.
        unknown: Sequences that it does not know.
    """

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._lines = [""]
        self._row = 0
        self._column = 0
        self.frames: list[str] = []
        self.overruns: list[str] = []
        self.unknown: set[str] = set()
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._held = ""

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self._lines)

    def feed(self, data: bytes) -> None:
        """Take a piece of output in, wherever it was cut."""
        text = self._held + self._decoder.decode(data)
        cut = _UNFINISHED.search(text)
        text, self._held = (text[: cut.start()], text[cut.start() :]) if cut else (text, "")
        at = 0
        for match in _PIECE.finditer(text):
            self._write(text[at : match.start()])
            at = match.end()
            if match["control"] == "\r":
                self._column = 0
            elif match["control"] == "\n":
                self._row, self._column = self._row + 1, 0
                if self._row == len(self._lines):
                    self._lines.append("")
            elif match["count"] is not None:
                self._row = max(0, self._row - int(match["count"] or 1))
            elif match["erase"]:
                self._lines[self._row] = ""
            elif match["other"][-1] not in "mhl":
                self.unknown.add(match["other"])
        self._write(text[at:])
        self.frames.append(self.text)

    def _write(self, text: str) -> None:
        if not text:
            return
        line = self._lines[self._row].ljust(self._column)
        self._lines[self._row] = line[: self._column] + text + line[self._column + len(text) :]
        self._column += len(text)
        if self._column > self._columns:
            self.overruns.append(self._lines[self._row])
