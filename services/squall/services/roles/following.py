"""Takes the tasks that the command reads from a pipe, for the producer, which follows what is kept on disk.

    kept by the command, in this order ──► offered, some at a time ──► accepted ──► passed, and more is read
                                                                      until there is no more

A producer that was killed goes on behind what it had passed. What it had offered of the rest it offers again,
under the same ids, and what it knows to be accepted it leaves out.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from pathlib import Path

from squall.bus.tasks import Tasks, look_again, task_group
from squall.services.intake.arrivals import Arrivals
from squall.services.intake.piped import ENDED, LOOK_S, PASSED
from squall.services.intake.store import Stored
from squall.services.node.service import Service
from squall.services.roles.taking import Offer

IN_HAND_MAX = 256
"""Tasks that are offered at a time. Higher offers more a second where each waits long for its answer; lower
keeps fewer of them in memory."""


async def follow(service: Service, offer: Offer, settled: Collection[str]) -> list[tuple[str, str]]:
    """Offer tasks as they come, until there are no more, or the producer is to stop.

    Returns their keys, each with what tasks of it need.

    Args:
        settled: Tasks that the swarm has by the lines of an earlier producer.
    """
    with Arrivals(Path(service.start.tasks).parent) as arrivals:
        await Following(service, arrivals, offer, settled).run()
        return arrivals.keys()


class Following:
    def __init__(self, service: Service, arrivals: Arrivals, offer: Offer, settled: Collection[str]) -> None:
        self._service = service
        self._arrivals = arrivals
        self._offer = offer
        self._settled = settled
        self._open: set[int] = set()
        self._seen = self._passed = int(arrivals.fact(PASSED) or 0)
        self._due_s = 0.0
        self._come = asyncio.Event()

    async def run(self) -> None:
        async with task_group() as tasks:
            while not self._service.stop.is_set():
                # In this order: what was kept before it was said that no more comes is seen then.
                is_all = bool(self._arrivals.fact(ENDED))
                room = IN_HAND_MAX - len(self._open)
                found = self._arrivals.after(self._seen, room)
                for place, own in found:
                    self._begin(place, own, tasks)
                self._pass()
                if is_all and len(found) < room:
                    break
                self._come.clear()
                await look_again(self._come, LOOK_S)
        self._pass()

    def _begin(self, place: int, own: Stored, tasks: Tasks) -> None:
        self._seen = place
        if own.task in self._settled:
            return
        self._due_s = max(time.time(), self._due_s + 1 / self._service.spec.rate_per_s)
        self._open.add(place)
        tasks.start(self._offered(place, own, self._due_s))

    async def _offered(self, place: int, own: Stored, due_s: float) -> None:
        await self._offer(own, due_s)
        self._open.discard(place)
        if len(self._open) == IN_HAND_MAX // 2:
            self._come.set()

    def _pass(self) -> None:
        """Note what is done with, so that as much more is read."""
        passed = min(self._open) - 1 if self._open else self._seen
        if passed > self._passed and not self._service.stop.is_set():
            self._passed = passed
            self._arrivals.note(PASSED, str(passed))
