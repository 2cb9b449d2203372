"""A worker that has a failed attempt made again at once, so that it fails for the same reason."""

from __future__ import annotations

import random

from squall.bus.queue import Pacing


def install(node: str, role: str) -> None:
    def nothing(self: Pacing, attempt: int, chance: random.Random) -> float:
        return 0.0

    Pacing.pause_s = nothing  # type: ignore[method-assign]
