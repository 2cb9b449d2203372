"""What is shed is taken out of what waits, and nothing is written of it."""

from __future__ import annotations

from typing import Any

from squall.services.roles import shedder


def install(node: str, role: str) -> None:
    async def unwritten(*args: Any, **kwargs: Any) -> tuple[str, str]:
        return "won", ""

    if role == "router":
        shedder.register = type("Unwritten", (), {"write": staticmethod(unwritten)})  # type: ignore[assignment]
