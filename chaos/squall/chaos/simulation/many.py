"""Many schedules on all cores, as they come.

seeds ─► chunks ─► one process a core ─► outcomes, in the order in which they are done
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice

from squall.chaos.errors import LostError
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
    pool = ProcessPoolExecutor(processes, mp_context=multiprocessing.get_context("spawn"), initializer=begin)
    try:
        under_way: set[Future[list[Outcome]]] = set()
        while True:
            while len(under_way) < processes * AHEAD and (chunk := list(islice(waiting, CHUNK))):
                with ended_early():
                    under_way.add(pool.submit(_all_of, plan, chunk))
            if not under_way:
                return
            done, under_way = wait(under_way, return_when=FIRST_COMPLETED)
            for each in done:
                with ended_early():
                    results = each.result()
                yield from results
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def ended_early() -> Iterator[None]:
    """Say what it means that one of the processes is no more.

    Raises:
        LostError: It is so.
    """
    try:
        yield
    except BrokenProcessPool as error:
        raise LostError(
            "a process that simulates has ended, and with it the schedules that it had",
            "see that there is memory enough, and that no handler ends the process it runs in",
        ) from error


def begin() -> None:
    """Ctrl-C is for the process that asked."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _all_of(plan: Plan, seeds: Sequence[int]) -> list[Outcome]:
    return [outcome(plan, seed) for seed in seeds]
