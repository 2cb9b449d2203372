"""What a peer thinks of a proposal: by the user's own `vote`, or by what its handler would have done."""

from __future__ import annotations

from typing import NamedTuple

from squall.bus.messages import RunTask
from squall.bus.vote_messages import Propose, Verdict
from squall.bus.work_queue import Done, Failed
from squall.services.node.service import Service
from squall.services.roles.deciding import Deciding
from squall.services.rules.voting import Proposal


class Thought(NamedTuple):
    """A verdict, why, and how sure its peer is, from 0 to 1."""

    verdict: Verdict
    reason: str = ""
    confidence: float = 1.0


class Judging:
    """One peer's verdicts.

    Attributes:
        has_own_vote: Whether the handler brings a `vote` of its own.
    """

    def __init__(self, service: Service, deciding: Deciding) -> None:
        self._service = service
        self._deciding = deciding
        self.has_own_vote = False

    async def verdict(self, task: RunTask | None, proposal: Proposal) -> Thought:
        """What it thinks of a proposal."""
        said = proposal.content
        assert isinstance(said, Propose)
        if proposal.peer == self._service.node:
            return Thought("yes", "its own")
        if task is None:
            return Thought("yes" if said.dead else "no", "its input cannot be read")
        opinion = self._deciding.opinion(proposal.task)
        if opinion is None:
            return Thought("abstain", "it was settled meanwhile")
        return compared(said, await opinion.tried())


def compared(said: Propose, mine: Done | Failed) -> Thought:
    """The verdict of a peer that would do what its own handler came to."""
    if isinstance(mine, Failed):
        if said.dead:
            return Thought("yes", f"the same here: {mine.reason}")
        return Thought("abstain", f"no opinion: {mine.reason}", 0.0)
    if said.dead:
        return Thought("no", "it can be done")
    if (said.effects, said.value) == (mine.effects, mine.value):
        return Thought("yes", "the same here")
    return Thought("no", "its own handler would do something else")
