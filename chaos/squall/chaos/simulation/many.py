"""Many schedules on all cores, as they come.

seeds ─► chunks ─► one process a core ─► outcomes, in the order in which they are done
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice

from squall.chaos.simulation.outcome import Outcome, Plan, outcome

CHUNK = 4
"""Schedules that a process is given at a time."""

AHEAD = 2
"""Chunks that wait for a process."""


def outcomes(plan: Plan, seeds: Iterable[int], *, processes: int | None = None) -> Iterator[Outcome]:
    """What came of each seed, in no certain order; whoever stops asking ends what is under way.

    Args:
        processes: How many; one a core, if None. With one, it is this one.
    """
    processes = processes or os.cpu_count() or 1
    if processes == 1:
        yield from (outcome(plan, seed) for seed in seeds)
        return
    waiting = iter(seeds)
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"), initializer=_begin)
    try:
        under_way: set[Future[list[Outcome]]] = set()
        while True:
            while len(under_way) < processes * AHEAD and (chunk := list(islice(waiting, CHUNK))):
                under_way.add(pool.submit(_all_of, plan, chunk))
            if not under_way:
                return
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for each in done:
                yield from each.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _begin() -> None:
    """Ctrl-C is for the process that asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _all_of(plan: Plan, seeds: Sequence[int]) -> list[Outcome]:
    return [outcome(plan, seed) for seed in seeds]
