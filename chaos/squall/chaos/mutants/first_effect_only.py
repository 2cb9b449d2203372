"""Of what a handler returns only the first effect is kept."""

from __future__ import annotations

from msgspec.structs import replace

from squall.bus.ended import Done
from squall.services.handlers import outcome
from squall.services.handlers.mistakes import Mistake


def install(node: str, role: str) -> None:
    returned = outcome.returned

    def first(value: object) -> Done | Mistake:
        ended = returned(value)
        return replace(ended, effects=ended.effects[:1]) if isinstance(ended, Done) else ended

    outcome.returned = first
