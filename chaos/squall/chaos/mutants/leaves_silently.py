"""A leader that leaves and does not say so: its follower waits until the lease has run out."""

from __future__ import annotations

from typing import Any

from squall.bus.term import Leadership


def install(node: str, role: str) -> None:
    write = Leadership.write

    async def written(self: Leadership, *entries: Any, released: bool = False, **more: Any) -> Any:
        return self.term if released else await write(self, *entries, **more)

    Leadership.write = written  # type: ignore[method-assign]
