"""What does not come to an end in a simulated world, and where it stands.

A world is one thread, so that whoever stands in it holds up everybody: a handler that loops for ever, or
waits for what nobody will do. A timer of the operating system looks at it, from outside of the world's time.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

from squall.chaos.simulation.loop import WORLD, Exited, StandsError, VirtualLoop, current
from squall.services.handlers.mistakes import Frame, frames_of_coroutine, frames_of_thread, own_files

STANDS_S = 10
"""How long one callback may last, by a clock that does not count what the machine was asleep. Lower takes
what computes for what stands; higher has whoever waits for the command wait longer."""


@contextlib.contextmanager
def noticed(loop: VirtualLoop, limit_s: int = STANDS_S) -> Iterator[None]:
    """Inside the block, a callback of a simulated process that does not end ends the world."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's alone
        return
    seen, times = -1, 0

    def tick(number: int, frame: object) -> None:
        nonlocal seen, times
        if loop.turns != seen or current() is WORLD:
            seen, times = loop.turns, 0
            return
        times += 1
        if times >= limit_s:
            process = current()
            if loop.stands is None:
                what = f"{process.name} has done nothing else for {limit_s} s"
                frames = frames_of_thread(threading.get_ident(), own_files(None))
                loop.stands = StandsError(what, process, frames)
            raise Exited

    before = signal.signal(signal.SIGALRM, tick)
    timer = signal.setitimer(signal.ITIMER_REAL, 1.0, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, before)


def place_of(error: StandsError) -> Frame | None:
    """The line of a handler's own at which a process stands, or comes back to; None if there is none."""
    is_own = own_files(None)
    waits = [task for task in error.process.tasks if not task.done()]
    found = (error.frames, *(frames_of_coroutine(task.get_coro(), is_own) for task in reversed(waits)))
    return next((frames[-1] for frames in found if frames), None)
