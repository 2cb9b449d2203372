"""Votes that come after a proposal was closed are counted, and turn its abort into an approval."""

from __future__ import annotations

from squall.services.rules.voting import Fold, Ignored, Place, Proposal, Voted


def install(node: str, role: str) -> None:
    count = Fold._vote

    def late_too(self: Fold, place: Place, record: Voted) -> Ignored | None:
        proposal = self._named(record.task, record.attempt, record.proposal)
        if isinstance(proposal, Proposal) and proposal.outcome == "abort":
            proposal.outcome, proposal.at = None, 0
            ignored = count(self, place, record)
            if proposal.outcome is None:
                proposal.outcome, proposal.at = "abort", place.sequence
            return ignored
        return count(self, place, record)

    Fold._vote = late_too  # type: ignore[method-assign]
