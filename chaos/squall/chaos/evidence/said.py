"""What one of the harness's handlers wrote of a call into its node's log. Pure; `files.py` reads it.

A log has the time of its machine's zone, and does not name the zone. Zones differ by quarters of an hour, so
of a moment that is known to be minutes away it can still be told how far.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

ZONES_DIFFER_S = 900.0


@dataclass(frozen=True, slots=True)
class Said:
    """One line.

    Attributes:
        node: Whose log it is in.
        at: When, as the log has it.
        task, attempt: What the handler was called with.
        effects: How many it returned; None where the line says that it was given the task.
    """

    node: str
    at: str
    task: str
    attempt: int
    effects: int | None

    def after_s(self, time_s: float) -> float | None:
        """How long after a moment it was written; None if its time is none.

        Args:
            time_s: In seconds since the epoch, at most seven minutes before or after.
        """
        try:
            local = datetime.strptime(self.at, "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC)
        except ValueError:
            return None
        apart_s = local.timestamp() - time_s
        return apart_s - ZONES_DIFFER_S * round(apart_s / ZONES_DIFFER_S)
