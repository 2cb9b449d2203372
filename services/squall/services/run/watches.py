"""What the command watches while a swarm runs: the disk, the streams' bounds, and the broker's own log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from squall.bus.broker_log import Complaint, Tail
from squall.bus.connection import Connection
from squall.services.node.history import History
from squall.services.run import stores
from squall.services.run.directory import RunDirectory
from squall.services.run.progress import Notice, Progress

log = logging.getLogger("squall")

DISK_LOOK_S = 0.5

LOG_LOOK_S = 0.5

LOG_BYTES_READ = 1024 * 1024
"""Of the broker's log at a look: no flood of it holds the command."""

COMPLAINTS_MAX = 1000
"""How many are noted; a broker that complains that often says nothing new."""

TOLD_S = 1.0
"""How long the broker must have been busy to be told of at once."""


async def disk(run: RunDirectory) -> None:
    """End the swarm before the disk is full, and see that no log fills it.

    Raises:
        DiskError: The disk is as good as full.
    """
    while True:
        for name in run.cut_logs():
            log.info("%s was cut", name)
        run.check_room()
        await asyncio.sleep(DISK_LOOK_S)


async def bounds(observer: Connection, streams: Sequence[str], history: History, progress: Progress) -> None:
    """Tell of streams near their bounds."""

    def tell(stream: str, share: float) -> None:
        progress(Notice(f"{stream} is {share:.0%} full"))
        history("store", "ok", stream=stream, share=share)

    await stores.watch(observer, streams, tell)


async def broker_log(path: Path, history: History, progress: Progress) -> None:
    """Note in the history what the broker's log says of slow calls and slow consumers, as it says so."""
    tail = Tail()
    place, noted = 0, 0

    def note(found: Complaint) -> None:
        nonlocal noted
        noted += 1
        if noted > COMPLAINTS_MAX:
            return
        history("broker", "ok", what=found.what, at_s=found.at_s, took_s=found.took_s, said=found.text)
        if found.what == "slow-call" and (found.took_s or 0.0) >= TOLD_S:
            progress(Notice(f"the broker was busy for {found.took_s:.1f} s"))

    try:
        while True:
            place = _read_on(path, place, tail, note)
            await asyncio.sleep(LOG_LOOK_S)
    finally:
        _read_on(path, place, tail, note)


def _read_on(path: Path, place: int, tail: Tail, note: Callable[[Complaint], None]) -> int:
    """Read what was appended since; how far it was read."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(min(place, size))  # one that was cut goes on at its new end
        data = file.read(LOG_BYTES_READ)
        place = file.tell()
        for found in tail.feed(data):
            note(found)
    return place
