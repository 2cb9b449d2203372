"""Whoever pulls takes what it asked for as on its way still, though the request has expired."""

from __future__ import annotations

from collections.abc import Mapping

from squall.bus.pull import Puller

EXPIRED = "408"


def install(node: str, role: str) -> None:
    taken = Puller._on_status

    def all_but_expired(self: Puller, status: str, headers: Mapping[str, str]) -> None:
        if status != EXPIRED:
            taken(self, status, headers)

    Puller._on_status = all_but_expired  # type: ignore[method-assign]
