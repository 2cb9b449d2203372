"""A consumer whose lanes are all taken is left without a filter: it is delivered what all lanes hold."""

from __future__ import annotations

from collections.abc import Collection

from squall.bus.lanes import LaneQueue


def install(node: str, role: str) -> None:
    def bare(self: LaneQueue, consumer: str, lanes: Collection[str]) -> list[str]:
        return [self.tasks(lane) for lane in sorted(lanes, key=int)]

    LaneQueue.filters = bare  # type: ignore[method-assign]
