"""What attempts take, as a worker tells of it. Pure."""

from __future__ import annotations

OUTLIER = 4.0
"""How many times the average one attempt counts for at most: one that stalls says little of the next."""


def averaged_ms(average_ms: float, took_ms: float) -> float:
    """The moving average of what attempts take, with one more; 0 is none yet."""
    if average_ms <= 0:
        return took_ms
    return average_ms + 0.1 * (min(took_ms, OUTLIER * average_ms) - average_ms)
