"""Instance: one of those that serve a stage, each with lanes of its own.

    its lanes ──pull──► the lane's turn? ──► handler of the stage ──► its register ──► acknowledged
                              └─ no: given back

The broker copies the register into the queue of the next stage.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from squall.bus.lane_order import HANDS_PER_SLOT, LaneTurns
from squall.bus.stages import at_stage
from squall.bus.topology.ring import breaker, stage_of
from squall.services.node.history import Kind
from squall.services.node.service import Service
from squall.services.patterns.closing import why_not_again
from squall.services.patterns.ring import RingSpec, breaker_settings, chain, handling, instances
from squall.services.roles.guarded import Guarded, Shared
from squall.services.roles.worker import POINTS, Worker
from squall.services.rules.breaker import Breaker, Changed, Share, share
from squall.services.run.spec import spec_as

__all__ = ["POINTS", "serve"]


async def serve(service: Service) -> None:
    """Work until asked to stop, or until a handler cannot be ended but with the process."""
    spec = spec_as(service.spec, RingSpec)
    stages = chain(spec)
    stage = stage_of(service.node, stages.count)
    queue = stages.queue(stage, service.node)
    hands = HANDS_PER_SLOT * spec.slots if spec.order == "strict" else spec.slots
    turns = LaneTurns(service.connection, queue.stream, lambda lane: stages.tasks(stage, lane), hands=hands)

    def tell(op: str, kind: Kind, /, **facts: Any) -> None:
        """What is told of a task before its last stage is not of what becomes of it in the end."""
        if stage < stages.count:
            op, facts = f"stage-{op}", {"stage": stage, **facts}
        service.history(op, kind, **facts)

    def changed(change: Changed) -> None:
        facts = {"stage": stage, "event": change.event, "state": change.after, "why": change.why}
        for_s = None if change.until_s is None else round(change.until_s - change.at_s, 3)
        service.history("breaker", "ok", opened=change.opened, for_s=for_s, **facts)

    guarded = Guarded(
        _breaker(service, spec, stage),
        turns if spec.order == "strict" else None,
        now_s=asyncio.get_running_loop().time,
        changed=changed,
        shared=_shared(service, spec, stage),
        counters=service.counters,
    )
    worker = Worker(
        service,
        queue,
        handler=handling(spec, service.node).name,
        complete=lambda result: at_stage(result, stage, stages.count, stages.laps),
        stays=why_not_again(spec, stage),
        observer=tell,
        turns=guarded,
        hands=hands,
        around=guarded.around,
        endless=spec.on_poison == "block",
    )
    await worker.serve()


def _shared(service: Service, spec: RingSpec, stage: int) -> Shared | None:
    """The breaker of its stage, which there is where breakers are on."""
    if spec.breaker != "on":
        return None
    stream, subject = service.swarm.stream("RING"), breaker(service.swarm, stage)
    return Shared(
        service.connection,
        stream,
        subject,
        share=lambda probers: _share(service, spec, stage, probers),
        probe_s=breaker_settings(spec).probe_s,
    )


def _share(service: Service, spec: RingSpec, stage: int, probers: Sequence[str] = ()) -> Share:
    """Its share of its stage's probes."""
    return share(breaker_settings(spec).probes, probers or instances(spec, stage), service.node)


def _breaker(service: Service, spec: RingSpec, stage: int) -> Breaker:
    """The breaker of an instance, which may make its share of its stage's probes."""
    chance = random.Random(f"{spec.seed}/{service.node}/{service.start.incarnation}/breaker")
    now_s = asyncio.get_running_loop().time()
    own = Breaker(breaker_settings(spec), chance, now_s, probes=_share(service, spec, stage).probes)
    if spec.breaker != "on":
        own.operate(now_s, "observe" if spec.breaker == "observe" else "disable")
    return own
