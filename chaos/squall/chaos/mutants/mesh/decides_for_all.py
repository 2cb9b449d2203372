"""Whoever proposes writes down at once that it was approved, and whoever is told so believes it."""

from __future__ import annotations

from typing import Any

from squall.bus.subjects import ANY
from squall.bus.vote_messages import Decide
from squall.services.roles.executor import Executor
from squall.services.roles.voter import Voter
from squall.services.roles.writing import write
from squall.services.rules.voting import Proposal, Standing


def install(node: str, role: str) -> None:
    vote = Voter._vote

    async def decide_and_vote(self: Voter, at: Standing, proposal: Proposal) -> None:
        if proposal.peer == self._service.node and not at.told:
            named = (proposal.key, proposal.task, proposal.attempt)
            subjects = self._counted.subjects
            headers = {
                "Nats-Expected-Last-Subject-Sequence": "0",
                "Nats-Expected-Last-Subject-Sequence-Subject": subjects.decision(ANY, *named),
            }
            place = proposal.place.sequence
            record = Decide(outcome="approve", epoch=proposal.epoch.number, proposal=place, at=place)
            await write(self._service.connection, subjects.decision(node_of(self), *named), record, headers)
        await vote(self, at, proposal)

    def node_of(self: Voter) -> str:
        return self._service.node

    async def believe(self: Executor, task: str, told: Decide) -> Any:
        at = self._counted.fold.tasks.get(task)
        for proposal in at.proposals if at is not None else ():
            if proposal.place.sequence == told.proposal:
                if proposal.outcome is None:
                    proposal.outcome, proposal.at = told.outcome, told.at
                return proposal
        return None

    Voter._vote = decide_and_vote  # type: ignore[method-assign]
    Executor._proven = believe  # type: ignore[method-assign]
