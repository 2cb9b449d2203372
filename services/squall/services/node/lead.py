"""Stand for a seat: follow, lead, and step down when asked, for any role that leads.

    campaign ──claimed──► Office ──► the role's `lead(office)` ──returns──► released lease ──► campaign
                            └── leave: asked to stop, or to step down

What the role does while it leads is its own; what all leaders share is here: the states of
`rules/leading.py`, their lines in the history, and the count of writes that the fence refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from squall.bus.subjects import Seat
from squall.bus.tasks import task_group
from squall.bus.term import Event, Leadership, campaign
from squall.services.node.service import Service
from squall.services.rules import leading

log = logging.getLogger("squall")


class Office:
    """One term, as its role sees it.

    Attributes:
        leadership: What the term's writes go through.
        seat: Where it is kept.
        leave: Set when the role is to finish the batch that it has begun and return.
    """

    def __init__(self, leadership: Leadership, seat: Seat, move: Callable[[leading.Event], None]) -> None:
        self._move = move
        self.leadership = leadership
        self.seat = seat
        self.leave = asyncio.Event()

    @property
    def term(self) -> int:
        return self.leadership.term

    def caught_up(self) -> None:
        """What earlier terms stored is read: from here on the role leads."""
        if not self.leave.is_set():
            self._move("caught up")


async def stand(service: Service, seat: Seat, lead: Callable[[Office], Awaitable[None]]) -> None:
    """Stand for a seat until the service is asked to stop.

    Args:
        lead: Run for each term that is won, and cancelled when a newer one exists. It calls
            `Office.caught_up` once it has read what went before, and returns when `Office.leave` is set.
    """
    state: leading.State = "standby"

    def move(event: leading.Event) -> None:
        nonlocal state
        state = leading.follow(state, event)
        service.state = state

    def observe(event: Event, term: int, code: int) -> None:
        if event == "claim":
            move("free")
            return
        if event == "defeat":
            move("refused")
            return
        if event == "fenced":
            service.counters["fenced_writes"] += 1
            service.history("fenced", "fail", term=term, code=code)
            move("fenced")
        elif event == "lead":
            service.history("lead", "ok", term=term)
            move("leads")
        else:
            service.history("resign", "ok", term=term)
            move("resigned")
        log.info("%s term=%d code=%d", event, term, code)

    async def serve_term(leadership: Leadership) -> None:
        office = Office(leadership, seat, move)
        service.step_down.clear()  # an order that came while another led was not for this term
        async with task_group() as tasks:
            tasks.daemon(_ask_to_leave(service, office, move))
            await lead(office)
        if not office.leave.is_set():
            move("leave")

    service.state = state
    service.ready()
    await campaign(
        service.connection,
        seat,
        service.node,
        lease_s=service.spec.lease_s,
        lead=serve_term,
        observer=observe,
        stop=service.stop,
    )


async def _ask_to_leave(service: Service, office: Office, move: Callable[[leading.Event], None]) -> None:
    asked = [asyncio.ensure_future(event.wait()) for event in (service.stop, service.step_down)]
    try:
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in asked:
            wait.cancel()
    move("leave")
    office.leave.set()
