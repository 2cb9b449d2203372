"""The console script ``squall``: what must hold from its first moment on, while the rest is imported.

Ctrl-C, SIGTERM, SIGHUP   ─► exit 130, as nothing has been started yet
closed or full streams    ─► nothing ends because of them; see `squall.services.printing`
an error nobody foresaw   ─► one sentence, its traceback in a file, exit 4; see `defects`
everything else           ─► `main`
"""

from __future__ import annotations

import contextlib
import os
import sys
from types import FrameType
from typing import NoReturn

from squall.services.cli.signals import INTERRUPTED, on_interrupts


def main() -> NoReturn:
    """The entry point."""
    on_interrupts(_leave)
    from squall.services.cli.defects import end_with
    from squall.services.printing import guard_streams

    guard_streams()
    try:
        from squall.services.cli.main import main as command
    except Exception as error:
        sys.exit(end_with(error))
    command()


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    """At once: an exception could be lost in whatever is being imported."""
    with contextlib.suppress(OSError):
        os.write(2, b"squall: interrupted before anything was started\n")
    os._exit(INTERRUPTED)
