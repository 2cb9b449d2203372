"""The quorum is that of the members that seem to be alive, not of those that the epoch has."""

from __future__ import annotations

import weakref

from squall.bus.vote_messages import Verdict
from squall.services.roles.voter import Voter
from squall.services.rules.quorum import Quorum
from squall.services.rules.voting import Fold, Ignored, Place, Proposal, Voted


def install(node: str, role: str) -> None:
    count, suspects = Fold._vote, Voter.suspects
    away: weakref.WeakKeyDictionary[Fold, frozenset[str]] = weakref.WeakKeyDictionary()

    def remember(self: Voter, names: frozenset[str]) -> None:
        away[self._counted.fold] = names
        suspects(self, names)

    def of_the_living(self: Fold, place: Place, record: Voted) -> Ignored | None:
        ignored = count(self, place, record)
        proposal = self._named(record.task, record.attempt, record.proposal)
        if isinstance(proposal, Proposal) and proposal.outcome is None:
            weights = {
                name: weight
                for name, weight in proposal.epoch.quorum.weights.items()
                if name not in away.get(self, frozenset())
            }
            votes: dict[str, Verdict] = {
                name: verdict for name, verdict in proposal.votes.items() if name in weights
            }
            if weights and (outcome := Quorum.of("majority", weights).outcome(votes)):
                proposal.outcome, proposal.at = outcome, place.sequence
        return ignored

    Voter.suspects = remember  # type: ignore[method-assign]
    Fold._vote = of_the_living  # type: ignore[method-assign]
