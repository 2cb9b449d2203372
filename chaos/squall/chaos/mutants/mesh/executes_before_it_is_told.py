"""A peer carries out what its own count says is decided, before the decision is recorded."""

from __future__ import annotations

import weakref
from types import SimpleNamespace
from typing import Any

from squall.bus import register
from squall.bus.subjects import lane_for
from squall.services.node.service import Service
from squall.services.roles.executor import Executor
from squall.services.roles.voter import Voter
from squall.services.rules.voting import Proposal


def install(node: str, role: str) -> None:
    made, tell = Executor.__init__, Voter._tell
    hands: weakref.WeakKeyDictionary[Service, Executor] = weakref.WeakKeyDictionary()

    def known(self: Executor, service: Service, *args: Any) -> None:
        made(self, service, *args)
        hands[service] = self

    async def act_first(self: Voter, proposal: Proposal) -> None:
        mine = hands[self._service]
        if self._counted.fold.tasks[proposal.task].final is proposal and proposal.peer == self._service.node:
            lane = lane_for(proposal.key)
            delivery: Any = SimpleNamespace(
                subject=f"sw.{self._service.spec.swarm}.wk.{lane}.{proposal.task}"
            )
            subject = mine._queue.register(lane, proposal.task)
            result = mine._result(delivery, proposal)
            await register.write(self._service.connection, subject, result, timeout_s=5)
        await tell(self, proposal)

    Executor.__init__ = known  # type: ignore[method-assign, assignment]
    Voter._tell = act_first  # type: ignore[method-assign]
