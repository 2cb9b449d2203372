"""What a handler prints is in its node's log line by line, however many of its threads print at a time."""

from __future__ import annotations

import threading
from typing import Any, TextIO

BEGUN_LENGTH_MAX = 64 * 1024
"""Of a line that is not ended, in characters; a longer one is written as far as it is there."""


class WholeLines:
    """A text stream that passes on whole lines, of each thread by itself; what else it is asked goes through.

    ``print`` writes its arguments, what is between them and the line's end one by one, so that another thread
    could write in between. What a thread has begun and not ended is passed on when it flushes.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._begun = threading.local()

    def write(self, text: str) -> int:
        """Pass on the lines that end in this; how many characters that were taken."""
        begun = getattr(self._begun, "text", "") + text
        lines, end, rest = begun.rpartition("\n")
        if len(rest) > BEGUN_LENGTH_MAX:
            lines, end, rest = begun, "", ""
        if lines or end:
            self._stream.write(lines + end)
        self._begun.text = rest
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Pass on what these have of whole lines."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Pass on what this thread has begun, too."""
        begun, self._begun.text = getattr(self._begun, "text", ""), ""
        if begun:
            self._stream.write(begun)
        self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
