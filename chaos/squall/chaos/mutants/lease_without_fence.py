"""Lease without a fence: writes are not refused for an old term, and nobody looks for a newer one."""

from __future__ import annotations

from typing import Any

from squall.bus import term
from squall.bus.errors import RejectedError
from squall.bus.jetstream import Outcome, publish_batch


def install(node: str, role: str) -> None:
    async def unfenced(connection: Any, entries: Any, *, timeout_s: float, fence: Any = None) -> Outcome:
        return await publish_batch(connection, entries, timeout_s=timeout_s)

    async def not_deposed(self: term.Leadership, outcome: Outcome) -> None:
        raise RejectedError(self._seat.stream, outcome.reason, outcome.code)

    term.publish_batch = unfenced  # type: ignore[attr-defined]
    term.Leadership._refused = not_deposed  # type: ignore[method-assign]
