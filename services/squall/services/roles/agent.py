"""Agent: pulls tasks, gives them to a handler, commits what it returns to the task's register."""

from __future__ import annotations

import logging
import random
from typing import Any, Final

from nats.aio.msg import Msg

from squall.bus.codec import decode, encode
from squall.bus.errors import DecodeError, InvalidNameError, RequestError
from squall.bus.messages import AnnounceLeader, LeaderAccepted
from squall.bus.tasks import task_group
from squall.bus.work_queue import WorkQueue
from squall.services.handlers.python import PythonHandler
from squall.services.node.service import Service, end_within
from squall.services.patterns import hierarchical

log = logging.getLogger("squall")

POINTS: Final = {
    "agent.delivered": "a task was delivered, its handler has not begun",
    "agent.executed": "the handler has returned, nothing is committed",
    "agent.committed": "the register is written, the task is not acknowledged",
    "agent.acknowledged": "the task is acknowledged",
}
"""Where a fault can strike it, and what has happened there."""

GRACE_S = 5.0
"""How much longer than one attempt tasks in flight may take once the agent stops of its own accord. One that
is asked to stop is given its time by whoever asks."""


class Loyalty:
    """The highest term an agent has heard of; commands of a lower one are refused. Pure."""

    def __init__(self) -> None:
        self.term = 0

    def accepts(self, term: int) -> bool:
        if term < self.term:
            return False
        self.term = term
        return True


async def serve(service: Service) -> None:
    """Work until asked to stop, or until a handler cannot be ended but with the process."""
    spec = service.spec
    grace_s = spec.handler_timeout_s + GRACE_S

    def stuck() -> None:
        service.history("end", "ok", reason="a handler outlived its time-out")
        log.warning("a handler does not end: this agent does, once what else it has in flight has ended")
        service.stop.set()
        end_within(grace_s + GRACE_S)

    assert service.handler is not None
    handler = PythonHandler(service.handler, timeout_s=spec.handler_timeout_s, slots=spec.slots, stuck=stuck)
    queue = WorkQueue(
        service.connection,
        service.swarm,
        hierarchical.pool(service.swarm),
        handler.run,
        agent=service.node,
        slots=spec.slots,
        pacing=spec.pacing,
        observer=service.history,
        at=lambda step: service.at(f"agent.{step}"),
        counters=service.counters,
        chance=random.Random(f"{spec.seed}/{service.node}/{service.start.incarnation}/retry"),
    )

    def vitals() -> dict[str, Any]:
        return {"slots": spec.slots, "in_flight": queue.in_flight, "service_ms": queue.service_ms}

    service.vitals = vitals
    loyalty = Loyalty()
    async with task_group() as tasks:

        def on_command(message: Msg) -> None:
            tasks.daemon(_obey(service, loyalty, message))

        await service.connection.subscribe(service.swarm.command(service.node, "*"), on_command)
        service.ready()
        await queue.serve(service.stop, grace_s=grace_s)


async def _obey(service: Service, loyalty: Loyalty, message: Msg) -> None:
    """Answer a command on this agent's own reply subject, never on an inbox that the caller names."""
    try:
        command = decode(message.data, AnnounceLeader)
        answer_to = service.swarm.reply(service.node, command.token)
    except (DecodeError, InvalidNameError) as error:
        service.complaints("unreadable", f"command: {error}")
        return
    if not loyalty.accepts(command.term):
        service.counters["commands_refused"] += 1
    answer = LeaderAccepted(node=service.node, term=loyalty.term, slots=service.spec.slots)
    try:
        await service.connection.publish(answer_to, encode(answer), confirm=False)
    except RequestError as error:
        log.info("command not answered: %s", error)
