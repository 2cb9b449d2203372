"""The venue's door: bytes of a batch go in, a status and bytes come out; by HTTP, or however else.

What came of it is `effects/venue.py`'s to say. HTTP is in `venue_http.py`.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

ANSWER_BYTES_MAX = 1024 * 1024
"""Of one response: 256 answers with their reasons take at most half of it."""


class ShutError(Exception):
    """Nobody listens behind the door; nothing was sent."""


class UnansweredError(Exception):
    """Something was sent, and no whole answer came."""


class Door(Protocol):
    """A way to one venue."""

    async def exchange(self, content: bytes) -> tuple[int, bytes]:
        """Send the body of a request for orders; the status of the answer, and its body.

        Raises:
            ShutError, UnansweredError: There was no answer.
        """
        ...


def by_http(url: str, token: str) -> AbstractAsyncContextManager[Door]:
    """The door of the venue at ``url``, for who has a token."""
    # Here, since to import httpx takes a node a third of a second, and only the gateway needs it.
    from squall.services.node import venue_http

    return venue_http.door(url, token)
