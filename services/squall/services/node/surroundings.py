"""Surroundings: what a node has around it and its roles do not make: wires, threads, its process.

    role ─► Service ─► Surroundings ──┬─► REAL: nats-py, HTTP, threads, signals
                                      └─► whatever else gives a node these

Code of a role asks for these here and nowhere else, so it runs as it is wherever they are given.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass

from squall.bus.wire import NatsWire, Wire
from squall.services.handlers.mistakes import IsOwn
from squall.services.node import held_up, interference, points
from squall.services.node.venue_door import Door, by_http

HELD_UP = 71
"""Exit status of a node that something in it kept from ending."""


def end_within(limit_s: float) -> None:
    """End this process by then, whatever still runs in it."""
    end = threading.Timer(limit_s, os._exit, [HELD_UP])
    end.daemon = True
    end.start()


def threads(number: int) -> Executor:
    """An executor of so many threads, for plain handlers."""
    return ThreadPoolExecutor(number, thread_name_prefix="handler")


def watching(is_own: IsOwn, tell: held_up.Tell) -> AbstractContextManager[None]:
    """Tell where a handler holds up this loop, inside the block; see `node/held_up.py`."""
    return held_up.Watch(is_own, tell).watching()


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a node has around it.

    Attributes:
        wire: Makes what a link to the broker is carried by.
        door: Opens the way to the venue at a URL, for who has a token, inside a block.
        threads: Makes an executor of so many threads, for plain handlers.
        watching: Tells of what holds up the loop, inside a block; see `watching`.
        stand_still: Stops the node where it is, until somebody has it go on.
        set_clock: Has the node's clock be off by so many seconds; by how many it is then.
        end_within: Ends the node by then, whatever still runs in it.
    """

    wire: Callable[[], Wire] = NatsWire
    door: Callable[[str, str], AbstractAsyncContextManager[Door]] = by_http
    threads: Callable[[int], Executor] = threads
    watching: Callable[[IsOwn, held_up.Tell], AbstractContextManager[None]] = watching
    stand_still: Callable[[], Awaitable[None]] = points.stand_still
    set_clock: Callable[[float], float] = interference.set_clock
    end_within: Callable[[float], None] = end_within


REAL = Surroundings()
"""Those of a process of the operating system."""
