"""To whom a coordinator gives a task, and when it takes one back. Pure.

    round-robin   one after the other, whatever they have
    specialised   whoever has the capability that the task needs, of those the least loaded
    affinity      what has one key to one worker, unless that one has much more than its part
    adaptive      where it is expected to end first, by what workers took lately
    stealing      what has one key to one worker; who has nothing to do takes what waits at another

Under ``pull`` nobody is given anything: who has room takes it, and none of this is asked.
"""

from __future__ import annotations

import functools
import hashlib
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

Strategy = Literal["pull", "round-robin", "specialised", "affinity", "adaptive", "stealing"]

PULL: Strategy = "pull"

LOAD_FACTOR = 1.25
"""How much more than its part a worker may have under affinity. Lower shares more evenly; higher leaves more
keys where they are."""

HALF_LIFE_S = 5.0
"""After how long without a task half of what a worker was known by is forgotten. Lower tries a slow worker
again sooner, which costs a slow task; higher is longer in noticing that it has recovered."""

FASTER_MAX = 8.0
"""How many times as fast as is usual a worker is taken to be at most: it says so itself, and one that says
that it takes no time would be given everything."""

WAITING = 1
"""How many tasks for each slot may wait at a worker before others take of them."""


class Worker(NamedTuple):
    """A worker as its leader knows it.

    Attributes:
        name: Which.
        load: Tasks that were given to it and have not ended.
        slots: How many of them it can run at a time; at least 1.
        service_ms: What a task takes it, by its own word; 0, or no finite number, if that is not known.
        idle_s: How long ago it was last heard to end a task.
        can: Its capabilities.
    """

    name: str
    load: int = 0
    slots: int = 1
    service_ms: float = 0.0
    idle_s: float = 0.0
    can: frozenset[str] = frozenset()


def choose(strategy: Strategy, key: str, needs: str, turn: int, workers: Sequence[Worker]) -> str:
    """Who is given the next task.

    Args:
        key: What the task belongs to.
        needs: The capability that it needs; of no meaning to other strategies than ``specialised``.
        turn: How many tasks were given out before.
        workers: Who is there, at least one, in the same order each time.

    Raises:
        ValueError: Nobody is there, or nobody is given tasks under this strategy.
    """
    if not workers:
        raise ValueError("there is nobody to give a task to")
    match strategy:
        case "round-robin":
            return workers[turn % len(workers)].name
        case "specialised":
            able = [worker for worker in workers if needs in worker.can] or workers
            return _in_turn(able, turn, lambda worker: worker.load / worker.slots)
        case "affinity":
            return _bounded(key, workers)
        case "adaptive":
            among_ms = usual_ms(workers)
            return _in_turn(workers, turn, lambda worker: _expected_ms(worker, among_ms))
        case "stealing":
            return ranked(key, tuple(worker.name for worker in workers))[0]
        case "pull":
            raise ValueError("whoever has room pulls, and nobody is given anything")


def _in_turn(workers: Sequence[Worker], turn: int, cost: Callable[[Worker], float]) -> str:
    """The worker of the least cost; of several, one after the other."""
    begin = turn % len(workers)
    return min((*workers[begin:], *workers[:begin]), key=cost).name


# Affinity.


@functools.lru_cache(maxsize=4096)
def ranked(key: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """Workers in the order in which a key prefers them; one that leaves changes no order of the others.

    Source: rendezvous hashing (Thaler, Ravishankar, 1998).
    """
    return tuple(sorted(names, key=lambda name: _score(key, name), reverse=True))


def _score(key: str, name: str) -> bytes:
    return hashlib.blake2b(f"{key}\0{name}".encode(), digest_size=8).digest()


def load_max(total: int, workers: int, slots: int) -> int:
    """How many tasks one of so many workers may have, once all have this many; never fewer than its slots.

    Source: consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam, 2016).
    """
    return max(slots, math.ceil(LOAD_FACTOR * total / workers))


def _bounded(key: str, workers: Sequence[Worker]) -> str:
    """The worker that a key prefers of those that have room within the bound; there always is one."""
    total = sum(worker.load for worker in workers) + 1
    by_name = {worker.name: worker for worker in workers}
    for name in ranked(key, tuple(by_name)):
        worker = by_name[name]
        if worker.load < load_max(total, len(workers), worker.slots):
            return name
    raise AssertionError("somebody has no more than the average")


# Adaptive.


def usual_ms(workers: Sequence[Worker]) -> float:
    """What a task takes the middle one of those of whom it is known; 1 if it is known of nobody.

    Workers say it of themselves, and one that says nonsense must not be what all are measured by.
    """
    known = [worker.service_ms for worker in workers if 0 < worker.service_ms < math.inf]
    return statistics.median(known) if known else 1.0


def decayed_ms(worker: Worker, among_ms: float) -> float:
    """What a task is expected to take a worker: what it took lately, or what is usual, the longer ago.

    So one that was slow is given a task again after a while, by which it is known whether it still is.
    """
    if not 0 < worker.service_ms < math.inf:
        return among_ms
    weight: float = 0.5 ** (max(0.0, worker.idle_s) / HALF_LIFE_S)
    return among_ms + (max(worker.service_ms, among_ms / FASTER_MAX) - among_ms) * weight


def _expected_ms(worker: Worker, among_ms: float) -> float:
    """When a task that it is given now would end, about; in full rounds of its slots."""
    return (worker.load + worker.slots) / worker.slots * decayed_ms(worker, among_ms)


# Stealing.


class Steal(NamedTuple):
    """So many tasks that wait at one worker are given to another."""

    victim: str
    thief: str
    tasks: int


def steals(workers: Sequence[Worker]) -> list[Steal]:
    """What those with free slots take from those at whom more waits than may.

    Nobody is left with less than its slots and what may wait there, so what is taken is not about to begin.
    """
    spare = {w.name: w.load - w.slots * (1 + WAITING) for w in workers}
    found: list[Steal] = []
    for thief in sorted(workers, key=lambda worker: worker.load / worker.slots):
        free = thief.slots - thief.load
        while free > 0:
            victim = max(spare, key=lambda name: spare[name])
            if spare[victim] <= 0:
                return found
            count = min(free, spare[victim])
            spare[victim] -= count
            free -= count
            found.append(Steal(victim, thief.name, count))
    return found
