"""What is shed is taken out of what waits, and nothing is written of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from squall.services.roles import shedder


def install(node: str, role: str) -> None:
    async def unwritten(*args: Any, **kwargs: Any) -> tuple[str, str]:
        return "won", ""

    if role == "router":
        setattr(shedder, "register", SimpleNamespace(write=unwritten))  # noqa: B010
