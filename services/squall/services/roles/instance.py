"""Instance: one of those that serve a stage, each with lanes of its own.

    its lanes ──pull──► the lane's turn? ──► handler of the stage ──► its register ──► acknowledged
                              └─ no: given back

The broker copies the register into the queue of the next stage.
"""

from __future__ import annotations

from typing import Any

from squall.bus.lane_order import LaneTurns
from squall.bus.stages import at_stage
from squall.bus.topology.ring import stage_of
from squall.services.node.history import Kind
from squall.services.node.service import Service
from squall.services.patterns.ring import RingSpec, chain, handler
from squall.services.roles.worker import POINTS, Worker
from squall.services.run.spec import spec_as

__all__ = ["POINTS", "serve"]


async def serve(service: Service) -> None:
    """Work until asked to stop, or until a handler cannot be ended but with the process."""
    spec = spec_as(service.spec, RingSpec)
    stages = chain(spec)
    stage = stage_of(service.node, stages.count)
    queue = stages.queue(stage, service.node)
    turns = LaneTurns(service.connection, queue.stream, lambda lane: stages.tasks(stage, lane))

    def tell(op: str, kind: Kind, /, **facts: Any) -> None:
        """What is told of a task before its last stage is not of what becomes of it in the end."""
        if stage < stages.count:
            op, facts = f"stage-{op}", {"stage": stage, **facts}
        service.history(op, kind, **facts)

    worker = Worker(
        service,
        queue,
        handler=handler(spec, service.node),
        complete=lambda result: at_stage(result, stage, stages.count),
        observer=tell,
        turns=turns if spec.order == "strict" else None,
        endless=spec.on_poison == "block",
    )
    await worker.serve()
