"""What a handler did wrong, and where: a traceback cut to the handler's own frames.

    an exception ──┬─► own frames ─┬─► lines of a log, outermost first
    a thread ──────┤               └─► ``mine.py:7 in size, called at mine.py:12 in decide``
    a coroutine ───┘

A handler's own files are those that are neither Squall's, nor Python's, nor an installed package's, unless
the handler itself lives there. What is looked at belongs to somebody else, so nothing here ever raises.
"""

from __future__ import annotations

import functools
import inspect
import linecache
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Literal, NamedTuple

import squall
from squall.bus.border import printable
from squall.bus.ended import Failed
from squall.services.handlers.frameworks import Adapted

Kind = Literal["raised", "gave-up", "returned", "late", "order", "error", "broke", "answered"]
"""It raised; it raised `PoisonError`; it returned what cannot be sent; it did not return in time; it returned
what is no order, which is sent all the same, and which the venue refuses. As a program or a service: it
answered with an error; it ended, broke off, or answered what is no answer; it answered what ends the task."""

FRAMES_MAX = 8
"""Of a traceback, the innermost."""

CALLS_MAX = 3
"""Of those, how many a sentence has."""

FRAME_LENGTH_MAX = 160
PLACE_LENGTH_MAX = 140
"""Of one frame with its line, and of the places in a sentence, in characters."""


class Mistake(Failed, frozen=True):
    """An attempt that failed by its handler's doing.

    Attributes:
        kind: What it did.
        said: The exception, or what was wrong, without where.
        trace: The handler's own frames, outermost first, each as ``mine.py:7 in size: return 1 / n``.
    """

    kind: Kind = "raised"
    said: str = ""
    trace: tuple[str, ...] = ()


class Frame(NamedTuple):
    """A line of a function that was being run."""

    file: str
    line: int
    function: str

    @property
    def place(self) -> str:
        at = f"{_shown(self.file)}:{self.line}"
        return at if self.function == "<module>" else f"{at} in {self.function}"

    def __str__(self) -> str:
        """Its place, and the line as it stands in the file."""
        source = linecache.getline(self.file, self.line).strip()
        return printable(f"{self.place}: {source}" if source else self.place, FRAME_LENGTH_MAX)


IsOwn = Callable[[str], bool]
"""Whether a file is a handler's own."""


def own_files(handler: object) -> IsOwn:
    """Tells the files of a handler's own from others."""
    home = _home(handler)

    @functools.lru_cache(maxsize=1000)
    def is_own(file: str) -> bool:
        if file.startswith("<"):
            return False
        folder = Path(file).absolute().parent
        return folder == home or not any(folder.is_relative_to(library) for library in _libraries())

    return is_own


def frames_of(error: BaseException, is_own: IsOwn) -> tuple[Frame, ...]:
    """The handler's own frames in an exception's traceback, outermost first; of many, the innermost."""
    try:
        trace = BaseException.__dict__["__traceback__"].__get__(error)  # past what its type makes of it
        walked = [
            Frame(frame.f_code.co_filename, line, frame.f_code.co_name)
            for frame, line in traceback.walk_tb(trace)
        ]
    except Exception:
        return ()
    return _cut(walked, is_own)


def frames_of_thread(ident: int, is_own: IsOwn) -> tuple[Frame, ...]:
    """Where a thread stands, in the handler's own files, outermost first; nothing of one that has ended."""
    frame = sys._current_frames().get(ident)
    return _cut(_outwards(frame), is_own)


def frames_of_coroutine(coroutine: Any, is_own: IsOwn) -> tuple[Frame, ...]:
    """Where a coroutine waits, through what it awaits, in the handler's own files, outermost first."""
    return _cut(list(_awaiting(coroutine)), is_own)


def places(frames: Iterable[Frame]) -> str:
    """``mine.py:7 in size, called at mine.py:12 in decide``, the innermost first; empty if there is none."""
    inwards = [frame.place for frame in frames][::-1]
    return printable(", called at ".join(inwards[:CALLS_MAX]), PLACE_LENGTH_MAX)


def _cut(frames: Iterable[Frame], is_own: IsOwn) -> tuple[Frame, ...]:
    return tuple(frame for frame in frames if is_own(frame.file))[-FRAMES_MAX:]


def _outwards(frame: FrameType | None) -> list[Frame]:
    found = []
    while frame is not None:
        found.append(Frame(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
        frame = frame.f_back
    return found[::-1]


AWAITS_MAX = 100


def _awaiting(coroutine: Any) -> Iterator[Frame]:
    for _ in range(AWAITS_MAX):
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if not isinstance(frame, FrameType):
            return
        yield Frame(frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name)
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)


def _code(handler: object) -> CodeType | None:
    """What runs when a handler is called, past what only hands the call on; None if it is no Python, or an
    agent of a framework, which begins nowhere in particular."""
    if isinstance(handler, Adapted):
        return None
    try:
        while isinstance(handler, functools.partial):
            handler = handler.func
        function: Any = inspect.unwrap(handler) if callable(handler) else handler
        if not hasattr(function, "__code__"):
            function = type(function).__call__
        code = function.__code__
        return code if isinstance(code, CodeType) else None
    except Exception:
        return None


def _home(handler: object) -> Path | None:
    """The folder of the file that a handler is in; None if it has none."""
    code = _code(handler)
    try:
        return Path(code.co_filename).absolute().parent if code is not None else None
    except Exception:
        return None


DECORATORS_MAX = 20
"""Lines of decorators above a function's own."""


def begins(handler: object) -> Frame | None:
    """Where a handler's function begins, which is what is to be told of a mistake that raises nothing.

    None where that is no file of anybody's: a built-in function, or what was typed in.
    """
    code = _code(handler)
    try:
        if code is None or not own_files(handler)(code.co_filename):
            return None
    except Exception:
        return None
    first = code.co_firstlineno
    for line in range(first, first + DECORATORS_MAX if _starts(code.co_filename, first, "@") else first):
        if _starts(code.co_filename, line, "def ", "async def "):
            return Frame(code.co_filename, line, code.co_name)
    return Frame(code.co_filename, first, code.co_name)


def _starts(file: str, line: int, *words: str) -> bool:
    return linecache.getline(file, line).lstrip().startswith(words)


@functools.cache
def _libraries() -> tuple[Path, ...]:
    """Folders of Python, of what is installed, and of Squall."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    return tuple(Path(path).absolute() for path in (*paths, *squall.__path__) if path)


def _shown(file: str) -> str:
    """A file's name as a user would write it: from the current folder, if it is in there."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return file
