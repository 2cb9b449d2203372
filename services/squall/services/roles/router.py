"""Router: a fenced leader and its standby, which says which instance has which lane of which stage.

    heartbeats ──► who is there ──┐
    members ───► who may be there ┴─► a route for each stage, written behind the fence
    heartbeats ──► what calls of a stage come to ──► its breaker: see `breaker_keeper.py`
    newest routes ──► have them be so, again and again ──► consumers of the instances
    registers ──► tasks that have ended ──► letters of the dead, and room in the ingress: see `clearing.py`

It decides nothing about a task. While nobody leads, lanes stay where they are and instances go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from nats.aio.msg import Msg

from squall.bus import log as bus_log
from squall.bus.codec import decode, encode
from squall.bus.errors import DecodeError, RejectedError, RequestError
from squall.bus.fenced import FencedWriter, Stored
from squall.bus.jetstream import Entry
from squall.bus.lane_moves import settle
from squall.bus.lanes import Clear, LaneQueue, Make, Remove, Route, Shrink, Step, spread
from squall.bus.messages import Heartbeat
from squall.bus.subjects import ANY, last_token
from squall.bus.tasks import task_group
from squall.bus.topology.ring import breaker, of_stage, route, seat, stage_of
from squall.services.node.lead import Office, stand
from squall.services.node.service import Operate, Service
from squall.services.patterns.lane_members import newest
from squall.services.patterns.pattern import AGENT
from squall.services.patterns.ring import (
    RingSpec,
    breaker_settings,
    chain,
    first_instances,
    first_route,
    instances,
    lane_queue,
    members_place,
    stage_name,
)
from squall.services.roles.breaker_keeper import Keeper
from squall.services.roles.clearing import Clearing
from squall.services.roles.shedder import Shedder
from squall.services.rules.breaker import VERBS
from squall.services.rules.ejection import Ejection
from squall.services.rules.placement import Presence
from squall.services.rules.shared_breaker import Totals
from squall.services.run.spec import spec_as

log = logging.getLogger("squall")

POINTS: Final = {
    "router.claimed": "a term is claimed, what went before is not read",
    "router.resumed": "the newest routes are read, nothing is done about them",
    "router.routed": "a route is written, no lane has moved by it",
    "router.shrunk": "an instance has given up lanes, nobody has them yet",
    "router.drained": "it is noted of one that gave up lanes that it holds nothing of them, or it is removed",
    "router.made": "lanes have come to an instance, not all are where they should be, or nobody has seen it",
    "router.recorded": "all lanes of a stage are where its route says, and their consumers are of its epoch",
    "router.broken": "it is said how a stage's breaker stands, its consumers go on as they did",
    "router.paused": "the consumers of a stage are paused, until a time that the broker keeps",
    "router.copied": "the oldest of a stage is set aside, its register is not written",
    "router.shed": "the oldest of a stage has ended unrun, it still waits there",
    "router.trimmed": "the ingress is trimmed",
}
"""Where a fault can strike it, and what has happened there."""

SELDOM: Final = (
    "router.routed",
    "router.shrunk",
    "router.drained",
    "router.made",
    "router.recorded",
    "router.broken",
    "router.paused",
    "router.copied",
    "router.shed",
)
"""Passed only where lanes move, as an instance is silent for long or comes back, or where a stage fails."""

EDGES: Final[Mapping[type[Step], str]] = {
    Shrink: "router.shrunk",
    Clear: "router.drained",
    Remove: "router.drained",
    Make: "router.made",
}
"""Where it stands once it has taken a step of a move."""

LOOK_S = 0.5
"""How often it is looked whether lanes are where they should be."""


async def serve(service: Service) -> None:
    """Stand for the leadership until asked to stop."""

    async def lead(office: Office) -> None:
        await _Router(service, office).lead()

    await stand(service, seat(service.swarm), lead)


class _Placed(NamedTuple):
    """The newest route of a stage, and its place in the router's stream; 0 if it is not there."""

    route: Route
    sequence: int


class _Router:
    """One term of leadership."""

    def __init__(self, service: Service, office: Office) -> None:
        self._service = service
        self._office = office
        self._spec = spec_as(service.spec, RingSpec)
        self._stages = range(1, len(self._spec.stages) + 1)
        self._placed: dict[int, _Placed] = {}
        self._writer = FencedWriter(service.connection, office.seat, office.leadership, refused=self._refused)
        self._one_at_a_time = asyncio.Lock()
        self._keepers = {stage: self._keeper(stage) for stage in self._stages}
        self._ejections = {stage: Ejection(self._spec.eject_s) for stage in self._stages}
        self._totals = Totals()
        self._members: Collection[str] = ()
        self._present = Presence((), asyncio.get_running_loop().time(), absent_s=self._spec.absent_s)

    async def lead(self) -> None:
        """Lead until asked to leave.

        Raises:
            DeposedError: A newer term exists.
        """
        service, office = self._service, self._office
        await service.at("router.claimed")
        self._members = await self._newest_members()
        for stage in self._stages:
            self._placed[stage] = await self._newest(stage)
            await self._keepers[stage].resume()
            self._share_probes(stage)
        # Whoever should be there counts as heard of from now on, as nobody was listened to before.
        owners = {owner for placed in self._placed.values() for owner in placed.route.owners}
        now_s = asyncio.get_running_loop().time()
        self._present = Presence({*self._members, *owners}, now_s, absent_s=self._spec.absent_s)
        epoch = max(placed.route.epoch for placed in self._placed.values())
        service.history("resume", "ok", term=office.term, epoch=epoch)
        await service.at("router.resumed")
        office.caught_up()
        stop = await service.connection.subscribe(service.swarm.heartbeat(AGENT, ANY), self._on_heartbeat)
        service.operated = self._operated
        clearing = Clearing(service, point="router.trimmed")
        try:
            async with task_group() as tasks:
                tasks.daemon(clearing.hear_submissions())
                tasks.daemon(clearing.hear_registers())
                tasks.daemon(clearing.keep_clear())
                tasks.daemon(self._follow_members())
                for stage in self._stages:
                    tasks.daemon(self._keep(stage))
                    if self._spec.breaker == "on":
                        tasks.daemon(self._keepers[stage].keep(self._queue(stage)))
                    if self._spec.backlog_max:
                        tasks.daemon(self._shedder(stage).keep())
                await office.leave.wait()
        finally:
            await stop()

    def _on_heartbeat(self, message: Msg) -> None:
        # Whose it is, the subject says: the rights of an instance hold it to its own name there.
        name = last_token(message.subject)
        self._present.heard(name, asyncio.get_running_loop().time())
        try:
            heartbeat = decode(message.data, Heartbeat)
        except DecodeError:
            return
        if self._spec.breaker == "on" and heartbeat.node == name:
            stage = stage_of(name, len(self._stages))
            self._keepers[stage].heard(heartbeat)
            more = self._totals.since(name, heartbeat.incarnation, heartbeat.counters)
            self._ejections[stage].counted(asyncio.get_running_loop().time(), name, more)

    # Breakers.

    def _keeper(self, stage: int) -> Keeper:
        return Keeper(
            self._service,
            stage,
            breaker_settings(self._spec),
            stream=self._office.seat.stream,
            subject=breaker(self._service.swarm, stage),
            store=self._store_one,
            may_act=self._office.leadership.may_act,
            first=instances(self._spec, stage),
        )

    async def _store_one(self, entry: Entry) -> bool:
        async with self._one_at_a_time:
            return isinstance(await self._writer.store([entry]), Stored)

    def _operated(self, said: Operate) -> None:
        """An operator says something of a stage's breaker; what it is, whoever passed it on has looked at."""
        for stage, keeper in self._keepers.items():
            for verb in VERBS:
                if (said.target, said.verb) == (
                    stage_name(stage),
                    verb,
                ) and self._office.leadership.may_act():
                    keeper.operate(verb)

    def _queue(self, stage: int) -> LaneQueue:
        return lane_queue(self._spec, stage, self._keepers[stage].paused_until_s)

    def _share_probes(self, stage: int) -> None:
        """Have those that should have lanes share the probes of their stage's breaker."""
        owners = {*self._placed[stage].route.owners}
        self._keepers[stage].share_among(of_stage(owners, stage, len(self._stages)))

    def _shedder(self, stage: int) -> Shedder:
        return Shedder(
            self._service,
            chain(self._spec),
            stage,
            mark=self._spec.backlog_max,
            paused_until_s=self._keepers[stage].paused_until_s,
            may_act=self._office.leadership.may_act,
            term=self._office.term,
            diverts=self._spec.shed == "divert",
        )

    # Members.

    async def _newest_members(self) -> Collection[str]:
        place, first = members_place(self._service.swarm), first_instances(self._spec)
        while True:
            try:
                now, _ = await newest(self._service.connection, place, first)
            except RequestError:
                await asyncio.sleep(LOOK_S)
            else:
                return now.names

    async def _follow_members(self) -> None:
        """Know who may have lanes, for as long as this leads."""
        while True:
            self._members = await self._newest_members()
            await asyncio.sleep(LOOK_S)

    # Routes.

    def _subject(self, stage: int) -> str:
        return route(self._service.swarm, stage)

    async def _newest(self, stage: int) -> _Placed:
        """The newest route of a stage; the first one is written here, if nobody has."""
        while True:
            try:
                stream, subject = self._office.seat.stream, self._subject(stage)
                record = await bus_log.last(self._service.connection, stream, subject)
            except RequestError:
                await asyncio.sleep(LOOK_S)
                continue
            if record is not None:
                return _Placed(decode(record.data, Route), record.sequence)
            return await self._write(stage, first_route(self._spec, stage), 0)

    async def _write(self, stage: int, route: Route, after: int) -> _Placed:
        """Write a route behind the one that it follows.

        Raises:
            DeposedError: A newer term exists.
        """
        async with self._one_at_a_time:
            stored = await self._writer.store([Entry(self._subject(stage), encode(route), after)])
        if isinstance(stored, Stored):
            await self._service.at("router.routed")
            return _Placed(route, stored.last)
        # Behind this term's own record nobody else writes; so it was read before it was there.
        return await self._newest(stage)

    async def _refused(self, error: RejectedError) -> None:
        self._service.complaints("refused", str(error))

    # Lanes.

    def _owners(self, stage: int, before: tuple[str, ...]) -> tuple[str, ...]:
        """Who should have the lanes of a stage, by all that is known now."""
        now_s = asyncio.get_running_loop().time()
        there = self._there(stage, before)
        return spread({*there} - self._ejections[stage].out(now_s) or there)

    def _there(self, stage: int, before: tuple[str, ...]) -> tuple[str, ...]:
        """The instances of a stage that may have lanes, ejected or not."""
        among = of_stage(self._members, stage, len(self._stages))
        now_s = asyncio.get_running_loop().time()
        return self._present.members(now_s, among=among, before=before)

    def _eject(self, stage: int, before: tuple[str, ...]) -> None:
        """Leave out for a while whoever fails where the others do not."""
        now_s = asyncio.get_running_loop().time()
        for ejected in self._ejections[stage].look(now_s, self._there(stage, before)):
            facts = {"stage": stage, "agent": ejected.name, "for_s": ejected.for_s, "times": ejected.times}
            self._service.history("eject", "ok", **facts)

    def _may_move(self, stage: int, owners: tuple[str, ...]) -> bool:
        """Whether lanes may be moved to these owners: this leads, and knows of nothing better."""
        return self._office.leadership.may_act() and self._owners(stage, owners) == owners

    async def _keep(self, stage: int) -> None:
        """Have the lanes of a stage be where they should be, for as long as this leads."""
        service, queue = self._service, self._queue(stage)
        moved = False

        async def taken(step: Step) -> None:
            nonlocal moved
            moved = True
            facts = {"stage": stage, "epoch": self._placed[stage].route.epoch}
            service.history("lanes", "ok", step=type(step).__name__.lower(), consumer=step.name, **facts)
            if point := EDGES.get(type(step)):
                await service.at(point)

        while True:
            before = self._placed[stage].route
            self._eject(stage, before.owners)
            if (owners := self._owners(stage, before.owners)) != before.owners:
                route = Route(epoch=before.epoch + 1, owners=owners)
                self._placed[stage] = await self._write(stage, route, self._placed[stage].sequence)
                self._share_probes(stage)
            moved = False
            try:
                is_settled = await settle(
                    service.connection,
                    queue,
                    self._placed[stage].route,
                    patience_s=self._spec.drain_s,
                    gone=self._present.absent(asyncio.get_running_loop().time()),
                    may_act=lambda: self._may_move(stage, owners),
                    taken=taken,
                )
            except RequestError as error:
                log.info("lanes of stage %d: %s", stage, error)
            else:
                if is_settled and moved:
                    await service.at("router.recorded")
            await asyncio.sleep(LOOK_S)
