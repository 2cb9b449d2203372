"""How long a handler held up the loop of its agent, and where it stood meanwhile.

    loop ──turns, ten times a second──► Watch ◄── looks as often ── a thread
                                          ├─► told once the loop turns again: where, and for how long
                                          └─► told by the thread meanwhile, if that is long

A node whose loop is held up can neither take tasks nor say that it is alive. What else keeps a loop from
turning, a machine that is busy or a process that was made to stand still, is nobody's doing here: it counts
only while the loop's own thread was seen, twice at least, in a file of the handler's.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from squall.services.handlers.mistakes import Frame, IsOwn, frames_of_thread

LOOK_S = 0.1
"""Between two turns of the loop that are noted, and between two looks at it."""

LOOKS_MIN = 2
"""How often the handler must be seen, so that chance blames nobody."""

MEANWHILE_S = 2.0
"""After which time it is told though the loop does not turn yet, which it may never do; then after twice
that, and so on."""


class Tell(Protocol):
    """Told where the handler was seen most often, and for how many seconds the loop did not turn.

    Called on the loop once it turns again, and by another thread before, when it is not over.
    """

    def __call__(self, frame: Frame, held_s: float, *, is_over: bool) -> None: ...


class Watch:
    """Watches the loop that it is made in, from a thread of its own, inside `watching`.

    Args:
        is_own: Which files are the handler's own.
        tell: Told of each time that the handler held up the loop.
    """

    def __init__(self, is_own: IsOwn, tell: Tell) -> None:
        self._is_own = is_own
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._ident = threading.get_ident()
        self._turned_s = time.monotonic()
        self._seen: Counter[Frame] = Counter()
        self._over = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Watch inside the block."""
        turning = self._loop.call_later(LOOK_S, self._turn)
        threading.Thread(target=self._look, name="loop-watch", daemon=True).start()
        try:
            yield
        finally:
            self._over.set()
            turning.cancel()

    def _turn(self) -> None:
        """The loop turns."""
        now_s = time.monotonic()
        held_s, self._turned_s = now_s - self._turned_s - LOOK_S, now_s
        seen, self._seen = self._seen, Counter()
        if seen.total() >= LOOKS_MIN:
            self._tell(seen.most_common(1)[0][0], held_s, is_over=True)
        if not self._over.is_set():
            self._loop.call_later(LOOK_S, self._turn)

    def _look(self) -> None:
        looked_s = time.monotonic()
        next_s = MEANWHILE_S
        while not self._over.wait(LOOK_S):
            now_s = time.monotonic()
            stood_still, looked_s = now_s - looked_s > 2 * LOOK_S, now_s
            held_s = now_s - self._turned_s - LOOK_S
            if held_s < LOOK_S:
                next_s = MEANWHILE_S
                continue
            if stood_still:
                continue
            frames = frames_of_thread(self._ident, self._is_own)
            if not frames:
                continue
            self._seen[frames[-1]] += 1
            if held_s >= next_s and self._seen.total() >= LOOKS_MIN:
                next_s = 2 * held_s
                self._tell(frames[-1], held_s, is_over=False)
