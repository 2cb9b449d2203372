"""How much of this machine's time nobody wanted: what tells a slow swarm from a busy machine."""

from __future__ import annotations

from pathlib import Path

STAT = Path("/proc/stat")


class Idle:
    """Counts from when it is made."""

    def __init__(self) -> None:
        self._before = _ticks()

    def share(self) -> float | None:
        """The share of all cores' time since then that was idle; None where the system does not tell."""
        now = _ticks()
        if self._before is None or now is None or now[1] <= self._before[1]:
            return None
        return round((now[0] - self._before[0]) / (now[1] - self._before[1]), 3)


def _ticks() -> tuple[int, int] | None:
    """Idle and all time of all cores since they were started, in the system's own unit."""
    try:
        counts = [int(count) for count in STAT.read_text().split("\n", 1)[0].split()[1:9]]
    except (OSError, ValueError):
        return None
    idle, waiting = counts[3:5]
    return idle + waiting, sum(counts)
