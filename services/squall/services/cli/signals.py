"""The signals by which a user, a supervisor or a terminal that closes ends a command."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, NoReturn

INTERRUPTED = 130
"""The exit code of a command that was ended by one."""

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Handler = Callable[[int, FrameType | None], Any]


def on_interrupts(handler: Handler) -> None:
    """Have a handler called by each of them; ``nohup``, which has the last one ignored, is respected."""
    for number in INTERRUPTS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


@contextlib.contextmanager
def interrupting(handler: Handler) -> Iterator[None]:
    """Have a handler called while the block runs, and afterwards whichever was called before."""
    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    on_interrupts(handler)
    try:
        yield
    finally:
        for number, previous in before.items():
            if previous is not None:  # else it was not set from Python, and is none of ours
                signal.signal(number, previous)


def interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """A handler that ends what is done, whichever signal it was."""
    raise KeyboardInterrupt
