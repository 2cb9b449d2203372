"""What a row of stages needs to be told before any of what waits at them may be shed.

shed = "drop-oldest", backlog_max = 60 ─► checked before anything is started ─► see `roles/shedder.py`
"""

from __future__ import annotations

from typing import Protocol

from squall.services.errors import SpecError
from squall.services.rules.shedding import Policy


class Shedding(Protocol):
    """Of a spec, what says what is shed."""

    @property
    def shed(self) -> Policy: ...
    @property
    def backlog_max(self) -> int: ...
    @property
    def breaker(self) -> str: ...
    @property
    def closed(self) -> bool: ...


def check(spec: Shedding) -> None:
    """See that what sheds has a mark and a breaker, and that nothing else has a mark.

    Raises:
        SpecError: It is not so.
    """
    if spec.shed == "reject-new":
        if spec.backlog_max:
            raise SpecError(
                "backlog_max is where a stage begins to shed, and reject-new sheds nothing",
                'use shed = "drop-oldest", or bound what is under way by ingress_max',
            )
        return
    if not spec.backlog_max:
        raise SpecError(f"{spec.shed} needs to know how many may wait", "set backlog_max")
    if spec.breaker != "on":
        raise SpecError(
            f"{spec.shed} sheds while a breaker is open, and breakers are {spec.breaker}",
            'use breaker = "on", or shed = "reject-new"',
        )
    if spec.closed:
        raise SpecError(
            f"{spec.shed} does not know of laps, and its stages are closed",
            'leave closed out, or use shed = "reject-new"',
        )
