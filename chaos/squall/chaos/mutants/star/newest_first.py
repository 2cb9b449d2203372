"""A gateway that carries what waits newest first, so that orders are filled in another order than decided."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable
from typing import Any

from squall.services.roles import gateway


def install(node: str, role: str) -> None:
    def newest_first(items: Iterable[Any], key: Callable[[Any], Any]) -> list[Any]:
        return builtins.sorted(items, key=key, reverse=True)

    gateway.sorted = newest_first  # type: ignore[attr-defined]
