"""Who has left votes on, and its vote is counted, by the key of the epoch before."""

from __future__ import annotations

import weakref

from squall.services.roles.voter import Voter
from squall.services.rules.voting import Epoch, Fold, Ignored, Place, Proposal, Voted


def install(node: str, role: str) -> None:
    count, enter, is_member = Fold._vote, Fold._enter, Voter._is_member
    keys: weakref.WeakKeyDictionary[Fold, dict[str, str]] = weakref.WeakKeyDictionary()

    def remember(self: Fold, epoch: Epoch) -> Ignored | None:
        ignored = enter(self, epoch)
        keys.setdefault(self, {}).update(epoch.keys)
        return ignored

    def of_all_there_were(self: Fold, place: Place, record: Voted) -> Ignored | None:
        ignored = count(self, place, record)
        proposal = self._named(record.task, record.attempt, record.proposal)
        if ignored != "removed" or not isinstance(proposal, Proposal) or proposal.outcome is not None:
            return ignored
        silent = [name for name in proposal.epoch.members if name not in proposal.votes]
        if not silent or not self._verify(keys[self][record.peer], record):
            return ignored
        proposal.votes[silent[-1]] = record.verdict
        if outcome := proposal.epoch.quorum.outcome(proposal.votes):
            proposal.outcome, proposal.at = outcome, place.sequence
        return None

    def once_a_member(self: Voter, proposal: Proposal | None) -> bool:
        was_there = self._service.node in keys.get(self._counted.fold, {})
        return is_member(self, proposal) or (proposal is not None and was_there)

    Fold._enter = remember  # type: ignore[method-assign]
    Fold._vote = of_all_there_were  # type: ignore[method-assign]
    Voter._is_member = once_a_member  # type: ignore[method-assign]
