"""Agent: pulls tasks, gives them to a handler, commits what it returns to the task's register."""

from __future__ import annotations

import logging

from nats.aio.msg import Msg

from squall.bus.codec import decode, encode
from squall.bus.errors import DecodeError, InvalidNameError, RequestError
from squall.bus.messages import AnnounceLeader, LeaderAccepted
from squall.bus.tasks import task_group
from squall.services.node.service import Service
from squall.services.patterns.hierarchical import HierarchicalSpec, queue_of
from squall.services.roles.worker import POINTS, Worker
from squall.services.rules.degrade import HighestTerm
from squall.services.run.spec import spec_as

log = logging.getLogger("squall")

__all__ = ["POINTS", "serve"]


async def serve(service: Service) -> None:
    """Work until asked to stop, or until a handler cannot be ended but with the process."""
    spec = spec_as(service.spec, HierarchicalSpec)
    worker = Worker(service, queue_of(spec, service.node))
    highest = HighestTerm()
    async with task_group() as tasks:

        def on_command(message: Msg) -> None:
            tasks.daemon(_obey(service, highest, message))

        await service.connection.subscribe(service.swarm.command(service.node, "*"), on_command)
        await worker.serve()


async def _obey(service: Service, highest: HighestTerm, message: Msg) -> None:
    """Answer a command on this agent's own reply subject, never on an inbox that the caller names."""
    try:
        command = decode(message.data, AnnounceLeader)
        answer_to = service.swarm.reply(service.node, command.token)
    except (DecodeError, InvalidNameError) as error:
        service.complaints("unreadable", f"command: {error}")
        return
    if not highest.accepts(command.term):
        service.counters["commands_refused"] += 1
    answer = LeaderAccepted(node=service.node, term=highest.term, slots=service.spec.slots)
    try:
        await service.connection.publish(answer_to, encode(answer), confirm=False)
    except RequestError as error:
        log.info("command not answered: %s", error)
