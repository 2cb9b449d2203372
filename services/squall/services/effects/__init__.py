"""Effects out: where what handlers intend is carried out, and what a function of your own may raise there.

    def send(effect: dict, key: str) -> None: ...              it is carried out once this returns
    async def send(effect: dict, key: str) -> None: ...

The key is made from the task, and is the same whenever the same effect is sent again, which happens: whoever
sends it may be killed before it could note that it was carried out. What raises anything else than the errors
below is sent again.
"""

from __future__ import annotations

__all__ = ["DoneBeforeError", "LaterError", "RefusedError"]


class RefusedError(Exception):
    """Raised by a function that takes effects: this one will never be carried out, and why."""


class DoneBeforeError(Exception):
    """Raised by a function that takes effects: this one was carried out before."""


class LaterError(Exception):
    """Raised by a function that takes effects: nothing more for now.

    Args:
        after_s: For how long, in seconds; at most a minute is waited.
    """

    def __init__(self, after_s: float = 1.0, reason: str = "") -> None:
        super().__init__(reason or f"later, in {after_s:g} s")
        self.after_s = after_s
