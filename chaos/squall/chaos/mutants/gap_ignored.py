"""A reader that does not look whether a record follows the one before: what a dying link took is skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from squall.bus import log
from squall.bus.connection import Connection
from squall.bus.pull import Delivery, Puller


class _Any(int):
    """A number that differs from no other."""

    __hash__ = int.__hash__

    def __ne__(self, other: object) -> bool:
        return False


def install(node: str, role: str) -> None:
    def unordered(
        connection: Connection,
        stream: str,
        consumer: str,
        take: Callable[[Delivery], None],
        room: Callable[[], int],
        **more: Any,
    ) -> Puller:
        def take_any(delivery: Delivery) -> None:
            take(replace(delivery, order=_Any(delivery.order)))

        return Puller(connection, stream, consumer, take_any, room, **more)

    log.Puller = unordered  # type: ignore[attr-defined,assignment]
