"""A member votes twice, and its second vote is counted as that of a member that has not voted."""

from __future__ import annotations

from typing import Any

from squall.services.roles import voter
from squall.services.roles.writing import write, write_new
from squall.services.rules.voting import Fold, Ignored, Place, Proposal, Voted


def install(node: str, role: str) -> None:
    count, once = Fold._vote, write_new

    def twice(self: Fold, place: Place, record: Voted) -> Ignored | None:
        ignored = count(self, place, record)
        proposal = self._named(record.task, record.attempt, record.proposal)
        if ignored != "doubled" or not isinstance(proposal, Proposal) or proposal.outcome is not None:
            return ignored
        silent = [name for name in proposal.epoch.members if name not in proposal.votes]
        if silent:
            proposal.votes[silent[0]] = record.verdict
            if outcome := proposal.epoch.quorum.outcome(proposal.votes):
                proposal.outcome, proposal.at = outcome, place.sequence
        return None

    async def and_again(connection: Any, subject: str, record: Any) -> bool:
        is_written = await once(connection, subject, record)
        if ".log.vote." in subject:
            await write(connection, subject, record, {})
        return is_written

    Fold._vote = twice  # type: ignore[method-assign]
    setattr(voter, "write_new", and_again)  # noqa: B010 - the voter has it from elsewhere
