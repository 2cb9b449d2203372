"""A deposed coordinator that still assigns: told that it was followed, it goes on without its fence."""

from __future__ import annotations

from typing import Any

from squall.bus import term
from squall.bus.errors import RejectedError
from squall.bus.jetstream import Outcome, publish_batch


def install(node: str, role: str) -> None:
    deposed: set[int] = set()

    async def fenced_until_deposed(
        connection: Any, entries: Any, *, timeout_s: float, fence: tuple[str, int] | None = None
    ) -> Outcome:
        kept = fence if fence is not None and fence[1] not in deposed else None
        return await publish_batch(connection, entries, timeout_s=timeout_s, fence=kept)

    async def shrugged_off(self: term.Leadership, outcome: Outcome) -> None:
        if self.term in deposed:
            raise RejectedError(self._seat.stream, outcome.reason, outcome.code)
        deposed.add(self.term)

    term.publish_batch = fenced_until_deposed  # type: ignore[attr-defined]
    term.Leadership._refused = shrugged_off  # type: ignore[method-assign]
