"""A run's tasks gathered into buckets of time, few enough to draw. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from squall.chaos.judge.figures import percentile

BUCKETS_MAX = 400
BUCKETS_MIN = 20
TASKS_PER_BUCKET = 20
"""Aimed at, since the 99th percentile of fewer says no more than their largest."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The latencies of the tasks that were due in one stretch of time.

    Attributes:
        at_s: Its middle.
        p50, p99, max: In milliseconds.
    """

    at_s: float
    p50: float
    p99: float
    max: float


def width_s(length_s: float, tasks: int, buckets_max: int = BUCKETS_MAX) -> float:
    """How wide a bucket is: 1, 2 or 5 times a power of ten, so that there are at most ``buckets_max``."""
    wanted = min(buckets_max, max(BUCKETS_MIN, tasks // TASKS_PER_BUCKET))
    return nice(length_s / wanted)


def nice(value: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is no less; 1 of nothing."""
    if value <= 0:
        return 1.0
    power: float = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value * (1 - 1e-9))


def latencies(samples: Iterable[tuple[float, float]], width_s: float) -> list[Bucket]:
    """Buckets that hold anything, in order.

    Args:
        samples: Seconds since the beginning at which a task was due, and its latency in milliseconds.
        width_s: The width of a bucket.
    """
    gathered: dict[int, list[float]] = {}
    for due_s, latency_ms in samples:
        gathered.setdefault(math.floor(due_s / width_s), []).append(latency_ms)
    found = []
    for index, values in sorted(gathered.items()):
        values.sort()
        found.append(
            Bucket((index + 0.5) * width_s, percentile(values, 50), percentile(values, 99), values[-1])
        )
    return found


def rates(times_s: Sequence[float], length_s: float, width_s: float) -> list[float]:
    """How many came a second, bucket after bucket from 0 on; what lies outside is left out."""
    counts = [0] * max(1, math.ceil(length_s / width_s))
    for time_s in times_s:
        index = math.floor(time_s / width_s)
        if 0 <= index < len(counts):
            counts[index] += 1
    return [number / width_s for number in counts]
