"""Peer: reads the log, proposes and votes, carries out what was decided, and tells who is there.

    feed ─► its own count of the log ─┬─► voter ─► proposals, votes, closes, decisions
                 tasks ─► handler ────┘                                  │
    pool ─► executor ─► does the count say so? ─► register ◄─────────────┘ (over the log and the queue)
    links ◄─► presence ─► whose turn it is to propose

It keeps nothing: what it has to know after it was started anew, it counts again from the log.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any, Final

from squall.bus.feed import follow
from squall.bus.tasks import task_group
from squall.services.node.service import Service
from squall.services.patterns.mesh import MeshSpec, neighbours, pool
from squall.services.roles.counted_log import CountedLog
from squall.services.roles.deciding import Deciding
from squall.services.roles.executor import Executor
from squall.services.roles.presence import Presence
from squall.services.roles.voter import Voter
from squall.services.rules.suspicion import Timers
from squall.services.rules.voting import Epoch
from squall.services.run.spec import spec_as

log = logging.getLogger("squall")

POINTS: Final = {
    "agent.executed": "the handler has returned, nothing is proposed or voted",
    "agent.proposing": "a proposal is about to be written",
    "agent.proposed": "a proposal is stored, its proposer has not voted",
    "agent.judged": "the verdict on a proposal is formed, no vote is written",
    "agent.voted": "a vote is stored",
    "agent.closing": "the time of a proposal is over, nobody closed it",
    "agent.closed": "a close is stored",
    "agent.counted": "a proposal is decided, nobody has said so",
    "agent.told": "a decision is stored, nobody has carried it out",
    "agent.delivered": "a decision came out of the queue, nothing is done",
    "agent.asked": "the broker was asked to write the register, and has not answered",
    "agent.committed": "the register is written, the decision is not acknowledged",
    "agent.acknowledged": "the decision is acknowledged",
}
"""Where a fault can strike a peer, and what has happened there."""

SELDOM: Final = ("agent.closing", "agent.closed")
"""Passed only where no quorum is to be had in time."""

STOP_S = 5.0
"""How long what was taken from the queue may take when a peer is asked to stop."""


async def serve(service: Service) -> None:
    """Take part until asked to stop, or until a handler cannot be ended but with the process."""
    async with task_group() as tasks:
        spec = spec_as(service.spec, MeshSpec)
        counted = CountedLog(service, deadline_s=spec.deadline_s)
        deciding = Deciding(
            service, tasks, is_given_up=counted.is_given_up, result_bytes_max=spec.result_bytes_max
        )
        voter = Voter(
            service, tasks, counted, deciding, deadline_s=spec.deadline_s, open_max=spec.proposals_max
        )
        executor = Executor(service, tasks, counted, pool(service.swarm))
        timers = Timers(
            period_s=spec.heartbeat_s, suspect_s_min=spec.suspect_s_min, suspect_s_max=spec.suspect_s_max
        )
        linked = partial(neighbours, spec, service.node)
        presence = Presence(service, timers, linked, voter.suspects)

        def vitals() -> dict[str, Any]:
            return {"slots": service.spec.slots, "in_flight": executor.in_flight + deciding.running}

        async def read() -> None:
            feed = follow(service.connection, counted.subjects.stream, counted.subjects.feed)
            async for stored in feed:
                record = counted.take(stored)
                if record is None:
                    continue
                voter.learned(record)
                if isinstance(record, Epoch):
                    service.state = "member" if service.node in record.keys else "observer"
                    service.history("epoch", "ok", epoch=record.number, seq=stored.sequence)
                    presence.among(record.members)
                    executor.puller.wake()

        service.vitals = vitals
        service.state = "observer"
        deciding.work()
        try:
            with service.around.watching(deciding.is_own, deciding.told.held_up):
                tasks.daemon(read())
                tasks.daemon(voter.attend())
                tasks.daemon(presence.keep())
                pulling = tasks.daemon(executor.puller.run())
                tasks.daemon(executor.keep_alive())
                service.ready()
                await service.stop.wait()
                pulling.cancel()
                await presence.leave()
                await executor.stop(STOP_S)
        finally:
            await deciding.close()
