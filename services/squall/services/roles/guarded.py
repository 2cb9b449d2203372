"""Turns that a circuit breaker may put off: what its stage depends on is left alone while it fails.

    task in hand ──► its lane's turn ──► may it be called? ── no ─► given back, until when it may be
                                               │ yes: a permit
                                            attempt ──► how it ended ──► the breaker

A task that is given back waits in its stream, and has made no attempt. So while a breaker is open no attempts
are used up, and nothing is held in memory.
"""

from __future__ import annotations

from collections.abc import Callable

from squall.bus.lane_order import LaneTurns
from squall.bus.messages import RunTask
from squall.bus.pull import Delivery
from squall.bus.subjects import last_token
from squall.bus.work_queue import Done, Ended, NotThere, Run
from squall.services.rules.breaker import Breaker, Changed, End, Permit

SOON_S = 0.25
"""For how long a task is given back while other probes are under way."""

LONG_S = 1.0
"""The same where an operator has forced the breaker open, and nobody knows for how long."""


def class_of(ended: Ended) -> End:
    """What an attempt says of what its stage depends on.

    A failure that another attempt might not meet may be that of something else; one that is final is the
    task's own. Where nobody was there to make it, the work queue leaves that be by itself.
    """
    if isinstance(ended, NotThere):
        return "shed"
    if isinstance(ended, Done):
        return "ok"
    return "poison" if ended.final else "transient"


class Guarded:
    """The turns of one instance's tasks, behind a breaker.

    Args:
        turns: Those of its lanes; None where any order will do.
        now_s: A monotonic clock.
        changed: Told of each transition.
    """

    def __init__(
        self,
        breaker: Breaker,
        turns: LaneTurns | None,
        *,
        now_s: Callable[[], float],
        changed: Callable[[Changed], None],
    ) -> None:
        self._breaker = breaker
        self._turns = turns
        self._now_s = now_s
        self._changed = changed
        self._permits: dict[str, Permit] = {}

    def enter(self, delivery: Delivery) -> None:
        """See `LaneTurns`."""
        if self._turns is not None:
            self._turns.enter(delivery)

    def leave(self, delivery: Delivery) -> None:
        """See `LaneTurns`. Leave that was not used is handed back."""
        if self._turns is not None:
            self._turns.leave(delivery)
        self._ended(last_token(delivery.subject), "shed", 0.0)

    async def wait(self, delivery: Delivery) -> float:
        """Wait for a task's turn; see `LaneTurns`."""
        if self._turns is not None and (wait_s := await self._turns.wait(delivery)):
            return wait_s
        now_s = self._now_s()
        self._tell(self._breaker.look(now_s))
        permit = self._breaker.admit(now_s)
        if permit is not None:
            self._permits[last_token(delivery.subject)] = permit
            return 0.0
        if self._breaker.until_s is not None:
            return max(self._breaker.until_s - now_s, SOON_S)
        return SOON_S if self._breaker.state == "half-open" else LONG_S

    def around(self, run: Run) -> Run:
        """Attempts whose ends the breaker is told."""

        async def guarded(task: RunTask, attempt: int) -> Ended:
            began_s = self._now_s()
            ended = await run(task, attempt)
            self._ended(task.task, class_of(ended), self._now_s() - began_s)
            return ended

        return guarded

    def _ended(self, task: str, end: End, took_s: float) -> None:
        permit = self._permits.pop(task, None)
        if permit is not None:
            self._tell(self._breaker.ended(self._now_s(), permit, end, took_s))

    def _tell(self, changes: list[Changed]) -> None:
        for change in changes:
            self._changed(change)
