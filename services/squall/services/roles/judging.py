"""What a peer thinks of a proposal: by the user's own `vote`, or by what its handler would have done."""

from __future__ import annotations

from typing import Any

import msgspec

from squall.bus.ended import Done, Failed
from squall.bus.messages import RunTask
from squall.bus.vote_messages import Propose
from squall.services.handlers import Proposal as Proposed
from squall.services.handlers import Vote
from squall.services.handlers.mistakes import Mistake
from squall.services.handlers.python import PythonHandler
from squall.services.node.service import Service
from squall.services.roles.deciding import Deciding
from squall.services.rules.voting import Proposal


class Judging:
    """One peer's verdicts.

    Attributes:
        has_own_vote: Whether the handler brings a `vote` of its own.
    """

    def __init__(self, service: Service, deciding: Deciding) -> None:
        spec = service.spec
        assert service.handler is not None
        vote = service.handler.vote()
        self._service = service
        self._deciding = deciding
        self.has_own_vote = vote is not None
        self._handler = (
            PythonHandler(
                vote,
                timeout_s=spec.handler_timeout_s,
                slots=spec.slots,
                threads=service.around.threads,
                stuck=deciding.stuck,
                running=deciding.told.running,
            )
            if vote is not None
            else None
        )

    async def verdict(self, task: RunTask | None, proposal: Proposal) -> Vote:
        """What it thinks of a proposal."""
        said = proposal.content
        assert isinstance(said, Propose)
        if proposal.peer == self._service.node:
            return Vote("yes", "its own")
        if task is None:
            return Vote("yes" if said.dead else "no", "its input cannot be read")
        if self._handler is not None:
            return await self._asked(self._handler, task, proposal, said)
        opinion = self._deciding.opinion(proposal.task)
        if opinion is None:
            return Vote("abstain", "it was settled meanwhile")
        return compared(said, await opinion.ended())

    async def _asked(self, handler: PythonHandler, task: RunTask, proposal: Proposal, said: Propose) -> Vote:
        """The verdict of the user's own `vote`."""
        given = Proposed(
            peer=proposal.peer,
            attempt=proposal.attempt,
            effects=tuple(_read(effect) for effect in said.effects),
            value=said.value,
            dead=said.dead,
            reason=said.reason,
        )
        ended = await handler.run(task, proposal.attempt, given)
        if isinstance(ended, Mistake):
            self._deciding.told.ended(task.task, proposal.attempt, ended)
        return returned(ended)


def _read(effect: bytes) -> Any:
    """An effect as JSON reads it; one that is none, which a hijacked peer may propose, as its bytes."""
    try:
        return msgspec.json.decode(effect)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return effect


def returned(ended: Done | Failed) -> Vote:
    """What a `vote` that returned so much means. One that failed has abstained."""
    if isinstance(ended, Failed):
        return Vote("abstain", ended.reason, 0.0)
    if not ended.effects:
        return Vote("abstain", "it did not say")
    try:
        said = msgspec.json.decode(ended.effects[0], type=bool | str | Vote)
        if isinstance(said, bool):
            return Vote("yes" if said else "no")
        vote = said if isinstance(said, Vote) else msgspec.convert({"verdict": said}, type=Vote)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        return Vote("abstain", f"its vote cannot be read: {error}", 0.0)
    return msgspec.structs.replace(vote, confidence=min(max(0.0, vote.confidence), 1.0))


def compared(said: Propose, mine: Done | Failed) -> Vote:
    """The verdict of a peer that would do what its own handler came to."""
    if isinstance(mine, Failed):
        if said.dead:
            return Vote("yes", f"the same here: {mine.reason}")
        return Vote("abstain", f"no opinion: {mine.reason}", 0.0)
    if said.dead:
        return Vote("no", "it can be done")
    if (said.effects, said.value) == (mine.effects, mine.value):
        return Vote("yes", "the same here")
    return Vote("no", "its own handler would do something else")
