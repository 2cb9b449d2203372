"""A node at its broker: connected, told what to do, serving its role, and what it counted at its end.

    NodeStart ─► connect ─► role.serve(service) ─► ended
                    ▲                ▲
             fresh credentials   orders: halt, interfere, step down, stop

What it has around it, a process of the operating system for one, is given; see `surroundings.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from squall.bus.connection import connect
from squall.bus.tasks import task_group
from squall.services.handlers.port import Loaded
from squall.services.node.history import History
from squall.services.node.interference import Interference
from squall.services.node.points import Points
from squall.services.node.service import LEAVE_S, Answer, Halted, NodeStart, Order, Ready, Service
from squall.services.node.surroundings import REAL, Surroundings
from squall.services.patterns import Pattern

CONNECT_PATIENCE_S = 20.0


class Serving:
    """A node that serves. Made by `serving`."""

    def __init__(
        self, service: Service, points: Points, interference: Interference, work: asyncio.Task[None]
    ) -> None:
        self._service = service
        self._points = points
        self._interference = interference
        self._work = work

    def obey(self, order: Order) -> None:
        """Do what it is told."""
        service = self._service
        if order.credentials is not None:
            service.connection.renew(order.credentials)
        if order.halt is not None:
            self._points.halt(order.halt.point, order.halt.nth)
        if order.interfere is not None:
            self._interference.begin(order.interfere)
        if order.operate is not None:
            service.operated(order.operate)
        if order.step_down:
            service.step_down.set()
        if order.stop:
            service.stop.set()
            if order.grace_s:
                # In good order, while there is time: whoever asked kills what is left of it then.
                loop = asyncio.get_running_loop()
                loop.call_later(max(0.0, order.grace_s - LEAVE_S), self._work.cancel)

    async def ended(self) -> None:
        """Wait until its role has come to its end; then tell what it counted."""
        try:
            await asyncio.wait({self._work})
        finally:
            self._service.history("counters", "ok", counters=self._service.counted())


@contextlib.asynccontextmanager
async def serving(
    start: NodeStart,
    pattern: Pattern,
    history: History,
    *,
    answer: Callable[[Answer], None],
    handler: Loaded | None = None,
    around: Surroundings = REAL,
) -> AsyncIterator[Serving]:
    """A node that serves inside the block.

    Args:
        answer: Told that it serves, and where it halts.
        handler: What an agent gives its tasks to; None in other roles.
        around: What it has around it.

    Raises:
        SpecError: The pattern, or the package that brings it, is broken.
        NotConnectedError, AuthorizationError: The broker is not to be had.
    """
    role = pattern.module(start.role)
    async with (
        connect(
            start.url,
            start.node,
            start.credentials,
            patience_s=CONNECT_PATIENCE_S,
            wire=around.wire,
        ) as connection,
        task_group() as tasks,
    ):
        interference = Interference(
            lambda kind, on, struck: history("interfere", "ok", what=kind, on=on, struck=struck),
            around.set_clock,
        )
        connection.interceptor = interference
        connection.on_link(lambda: history("link", "ok"))
        points = Points(lambda point: answer(Halted(point=point)), connection.let_go, around.stand_still)
        service = Service(
            start, pattern, connection, history, points, lambda: answer(Ready()), handler, around
        )
        service.interference = interference
        tasks.daemon(service.beat())
        yield Serving(service, points, interference, tasks.start(role.serve(service)))
