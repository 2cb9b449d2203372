"""A stage that goes on has the oldest shed as well, which an instance is just at."""

from __future__ import annotations

from squall.services.roles.shedder import Shedder


def install(node: str, role: str) -> None:
    def may_shed(self: Shedder) -> bool:
        return self._may_act()

    Shedder._may_shed = may_shed  # type: ignore[method-assign]
