"""Router: a fenced leader and its standby, which says which instance has which lane of which stage.

    newest routes ──read──► have them be so, stage by stage, again and again ──► consumers of the instances
    no route yet  ──► the first one, written behind the fence
    registers ──► tasks that have ended ──► letters of the dead, and room in the ingress: see `clearing.py`

It decides nothing about a task. While nobody leads, lanes stay where they are and instances go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Final

from squall.bus import log as bus_log
from squall.bus.codec import decode, encode
from squall.bus.errors import RejectedError, RequestError
from squall.bus.fenced import FencedWriter
from squall.bus.jetstream import Entry
from squall.bus.lane_moves import settle
from squall.bus.lanes import Route, Step
from squall.bus.tasks import task_group
from squall.services.node.lead import Office, stand
from squall.services.node.service import Service
from squall.services.patterns.ring import RingSpec, first_route, lane_queue
from squall.services.roles.clearing import Clearing
from squall.services.run.spec import spec_as

log = logging.getLogger("squall")

POINTS: Final = {
    "router.claimed": "a term is claimed, what went before is not read",
    "router.resumed": "the newest routes are read, nothing is done about them",
    "router.moved": "one step of a move is taken, the next is not",
    "router.trimmed": "the ingress is trimmed",
}
"""Where a fault can strike it, and what has happened there."""

SELDOM: Final = ("router.moved",)
"""Passed only where lanes move."""

LOOK_S = 0.5
"""How often it is looked whether lanes are where they should be."""


async def serve(service: Service) -> None:
    """Stand for the leadership until asked to stop."""

    async def lead(office: Office) -> None:
        await _Router(service, office).lead()

    await stand(service, service.swarm.seat("ring"), lead)


class _Router:
    """One term of leadership."""

    def __init__(self, service: Service, office: Office) -> None:
        self._service = service
        self._office = office
        self._spec = spec_as(service.spec, RingSpec)
        self._routes: dict[int, Route] = {}

    async def lead(self) -> None:
        """Lead until asked to leave.

        Raises:
            DeposedError: A newer term exists.
        """
        service, office = self._service, self._office
        await service.at("router.claimed")
        for stage in range(1, len(self._spec.stages) + 1):
            self._routes[stage] = await self._newest(stage)
        service.history("resume", "ok", term=office.term, epoch=max(r.epoch for r in self._routes.values()))
        await service.at("router.resumed")
        office.caught_up()
        clearing = Clearing(service, point="router.trimmed")
        async with task_group() as tasks:
            tasks.daemon(clearing.hear_submissions())
            tasks.daemon(clearing.hear_registers())
            tasks.daemon(clearing.keep_clear())
            tasks.daemon(self._reconcile())
            await office.leave.wait()

    async def _newest(self, stage: int) -> Route:
        """The newest route of a stage; the first one is written here, if nobody has."""
        subject = self._service.swarm.at("ring", "route", f"s{stage}")
        while True:
            with contextlib.suppress(RequestError):
                record = await bus_log.last(self._service.connection, self._office.seat.stream, subject)
                if record is not None:
                    return decode(record.data, Route)
                break
            await asyncio.sleep(LOOK_S)
        route = first_route(self._spec, stage)
        writer = FencedWriter(
            self._service.connection, self._office.seat, self._office.leadership, refused=self._refused
        )
        await writer.store([Entry(subject, encode(route), 0)])
        return route

    async def _refused(self, error: RejectedError) -> None:
        self._service.complaints("refused", str(error))

    async def _reconcile(self) -> None:
        """Have lanes be where they should be, for as long as this leads."""
        service = self._service

        async def taken(step: Step) -> None:
            service.history("lanes", "ok", step=type(step).__name__.lower(), consumer=step.name)
            await service.at("router.moved")

        while True:
            for stage, route in self._routes.items():
                try:
                    await settle(
                        service.connection,
                        lane_queue(self._spec, stage),
                        route,
                        patience_s=self._spec.drain_s,
                        may_act=self._office.leadership.may_act,
                        taken=taken,
                    )
                except RequestError as error:
                    log.info("lanes of stage %d: %s", stage, error)
            await asyncio.sleep(LOOK_S)
