"""The harness's own recount of a log and the fold of the peers: two pieces of code that must never differ."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from tests.unit.test_voting import DEADLINE_S, fold_of, logs, verify

from squall.chaos.judge import votes
from squall.services.rules.quorum import RULES, Quorum
from squall.services.rules.voting import Closed, Epoch, Place, Proposed, Record, Tasked, Voted


def as_read(log: Sequence[tuple[Place, Record]]) -> votes.Log:
    """A log as the harness has it."""
    epochs, proposals, cast, closes = [], [], [], []
    tasks: dict[str, int] = {}
    for (at, at_s), record in (((place.sequence, place.stored_s), each) for place, each in log):
        match record:
            case Epoch():
                weights, needed = record.quorum.weights, record.quorum.needed
                epochs.append(votes.Epoch(at, record.number, record.keys, weights, needed))
            case Tasked():
                tasks.setdefault(record.task, at)
            case Proposed():
                proposals.append(votes.Proposal(at, at_s, record.peer, record.task, record.attempt))
            case Voted():
                named = (record.epoch, record.proposal, record.verdict, record.signature)
                cast.append(votes.Vote(at, at_s, record.peer, record.task, record.attempt, *named))
            case Closed():
                closes.append(
                    votes.Close(at, at_s, record.peer, record.task, record.attempt, record.proposal)
                )
            case _:
                pass
    return votes.Log(epochs, tasks, proposals, cast, closes)


def is_signed(key: str, vote: votes.Vote) -> bool:
    named = (vote.peer, vote.task, vote.attempt, vote.epoch, vote.proposal)
    return verify(key, Voted(*named, vote.verdict, vote.signature))  # type: ignore[arg-type]


@given(logs())
@settings(max_examples=300)
def test_the_recount_comes_to_what_the_fold_of_the_peers_comes_to(log: list[tuple[Place, Record]]) -> None:
    fold = fold_of(log)
    found = votes.rulings(as_read(log), deadline_s=DEADLINE_S, is_signed=is_signed)
    assert {
        task: [(r.proposal.seq, r.epoch.number, r.outcome, r.at, r.votes) for r in of]
        for task, of in found.items()
    } == {
        task: [(p.place.sequence, p.epoch.number, p.outcome or "", p.at, len(p.votes)) for p in at.proposals]
        for task, at in fold.tasks.items()
    }


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("weights", [[1], [1, 1], [1, 1, 1], [1] * 4, [1] * 9, [5, 1, 1], [3, 3, 2, 1]])
def test_a_quorum_is_the_same_by_both(rule: str, weights: list[int]) -> None:
    named = {str(number): weight for number, weight in enumerate(weights)}
    assert votes.needed(rule, weights) == Quorum.of(rule, named).needed  # type: ignore[arg-type]
