"""How long a handler held up the loop of its agent, and where it stood meanwhile.

    loop ──turns, ten times a second──► Watch ◄── looks as often ── a thread
                                          └─► told once the loop turns again: where, and for how long

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
from collections.abc import Callable, Iterator

from squall.services.handlers.mistakes import Frame, IsOwn, frames_of_thread

LOOK_S = 0.1
"""Between two turns of the loop that are noted, and between two looks at it."""

LOOKS_MIN = 2
"""How often the handler must be seen, so that chance blames nobody."""


class Watch:
    """Watches the loop that it is made in, from a thread of its own, inside `watching`.

    Args:
        is_own: Which files are the handler's own.
        tell: Called on the loop with the frame where it was seen most often, and for how many seconds the
            loop did not turn.
    """

    def __init__(self, is_own: IsOwn, tell: Callable[[Frame, float], None]) -> None:
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
            self._tell(seen.most_common(1)[0][0], held_s)
        if not self._over.is_set():
            self._loop.call_later(LOOK_S, self._turn)

    def _look(self) -> None:
        looked_s = time.monotonic()
        while not self._over.wait(LOOK_S):
            now_s = time.monotonic()
            stood_still, looked_s = now_s - looked_s > 2 * LOOK_S, now_s
            if stood_still or now_s - self._turned_s < 2 * LOOK_S:
                continue
            frames = frames_of_thread(self._ident, self._is_own)
            if frames:
                self._seen[frames[-1]] += 1
