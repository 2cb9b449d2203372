"""What a log of votes has decided: a table of every reason, and what holds of any log whatsoever."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from squall.bus.vote_messages import Rule, Verdict
from squall.services.rules.quorum import RULES, Quorum
from squall.services.rules.voting import (
    ATTEMPTS,
    Closed,
    Decided,
    Epoch,
    Fold,
    Ignored,
    Place,
    Proposal,
    Proposed,
    Record,
    Tasked,
    Unreadable,
    Voted,
)

DEADLINE_S = 0.5
PEERS = ("a", "b", "c", "d", "e")


def epoch(number: int, members: Sequence[str], rule: Rule = "majority") -> Epoch:
    keys = {member: f"{member}-key" for member in members}
    return Epoch(number, keys, Quorum.of(rule, dict.fromkeys(members, 1)))


def verify(key: str, vote: Voted) -> bool:
    return vote.signature == f"{key} {vote.proposal} {vote.verdict}".encode()


def vote(peer: str, proposal: int, verdict: Verdict = "yes", **said: object) -> Voted:
    facts = {"task": "t", "attempt": 1, "epoch": 1, **said}
    signed = f"{facts.pop('by', peer)}-key {proposal} {verdict}".encode()
    return Voted(peer=peer, proposal=proposal, verdict=verdict, signature=signed, **facts)  # type: ignore[arg-type]


def decided(peer: str, **said: object) -> Decided:
    facts = {
        "key": "k", "task": "t", "attempt": 1, "outcome": "approve", "epoch": 1, "proposal": 3, "at": 5,
        **said,
    }  # fmt: skip
    return Decided(peer=peer, **facts)  # type: ignore[arg-type]


def folded(
    *records: Record, first_s: float = 100.0, each_s: float = 0.01
) -> tuple[Fold, list[Ignored | None]]:
    """A fold over records at the places 1, 2, 3, …, each so much later than the one before."""
    fold = Fold(deadline_s=DEADLINE_S, verify=verify)
    told = [
        fold.apply(Place(sequence, first_s + each_s * sequence), record)
        for sequence, record in enumerate(records, start=1)
    ]
    return fold, told


THREE = epoch(1, "abc")
OPEN = (THREE, Tasked("t", "k"), Proposed("a", "t", 1))  # the proposal is at 3


def final(fold: Fold, task: str = "t") -> tuple[str | None, int]:
    at = fold.tasks[task].final
    return (at.outcome, at.at) if at is not None else (None, 0)


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        ([], (None, 0)),
        (["yes"], (None, 0)),
        (["yes", "yes"], ("approve", 5)),
        (["no", "yes", "yes"], ("approve", 6)),
        (["no", "no"], ("reject", 5)),
        (["abstain", "no"], ("reject", 5)),
        (["no", "yes"], (None, 0)),
    ],
)
def test_a_proposal_is_decided_at_the_vote_that_leaves_no_doubt(
    verdicts: list[Verdict], outcome: tuple[str | None, int]
) -> None:
    votes = [vote(peer, 3, verdict) for peer, verdict in zip("abc", verdicts, strict=False)]
    fold, told = folded(*OPEN, *votes)
    assert final(fold) == outcome
    assert told == [None] * len(told)


IGNORED: dict[str, tuple[Sequence[Record], Ignored]] = {
    "nothing that can be read": ([*OPEN, Unreadable()], "unreadable"),
    "a proposal before there is an epoch": ([Tasked("t", "k"), Proposed("a", "t", 1)], "no-epoch"),
    "a proposal by nobody": ([*OPEN[:2], Proposed("z", "t", 1)], "stranger"),
    "a proposal by who left": ([*OPEN[:2], epoch(2, "bc"), Proposed("a", "t", 1)], "removed"),
    "a task that is there": ([*OPEN, Tasked("t", "k")], "known-task"),
    "a proposal of no task": ([*OPEN, Proposed("a", "u", 1)], "unknown-task"),
    "a vote on no task": ([*OPEN, vote("b", 3, task="u")], "unknown-task"),
    "a second proposal": ([*OPEN, Proposed("b", "t", 1)], "doubled"),
    "a second attempt before its turn": ([*OPEN, Proposed("b", "t", 2)], "out-of-turn"),
    "a vote on another proposal": ([*OPEN, vote("b", 2)], "unknown-proposal"),
    "a vote on an attempt there is not": ([*OPEN, vote("b", 3, attempt=2)], "unknown-proposal"),
    "a vote by nobody": ([*OPEN, vote("z", 3)], "stranger"),
    "a vote by who joined since": ([*OPEN, epoch(2, "abcd"), vote("d", 3)], "removed"),
    "a vote of another epoch": ([*OPEN, vote("b", 3, epoch=2)], "stale-epoch"),
    "a vote of an epoch before": (
        [THREE, epoch(2, "abc"), Tasked("t", "k"), Proposed("a", "t", 1), vote("b", 4, epoch=1)],
        "stale-epoch",
    ),
    "a vote signed by another": ([*OPEN, vote("b", 3, by="a")], "forged"),
    "a second vote": ([*OPEN, vote("b", 3, "no"), vote("b", 3)], "doubled"),
    "a vote after the decision": ([*OPEN, vote("a", 3), vote("b", 3), vote("c", 3)], "late"),
    "a vote after the close": ([*OPEN, epoch(2, "ab"), Closed("a", "t", 1, 3), vote("c", 3)], "late"),
    "a close before the deadline": ([*OPEN, Closed("b", "t", 1, 3)], "premature"),
    "a close by nobody": ([*OPEN, Closed("z", "t", 1, 3)], "stranger"),
    "a close of what is decided": ([*OPEN, vote("a", 3), vote("b", 3), Closed("a", "t", 1, 3)], "late"),
    "a proposal of what is settled": ([*OPEN, vote("a", 3), vote("b", 3), Proposed("a", "t", 2)], "late"),
    "a decision before there is one": ([*OPEN, vote("a", 3), decided("a")], "wrong-decision"),
    "a decision against the count": (
        [*OPEN, vote("a", 3), vote("b", 3), decided("a", outcome="reject")],
        "wrong-decision",
    ),
    "a decision at another place": (
        [*OPEN, vote("a", 3), vote("b", 3), decided("a", at=4)],
        "wrong-decision",
    ),
    "a decision under another key": (
        [*OPEN, vote("a", 3), vote("b", 3), decided("a", key="l")],
        "wrong-decision",
    ),
    "a decision that was told": ([*OPEN, vote("a", 3), vote("b", 3), decided("a"), decided("b")], "doubled"),
    "an epoch twice": ([THREE, epoch(1, "ab")], "wrong-epoch"),
    "an epoch that skips one": ([THREE, epoch(3, "ab")], "wrong-epoch"),
}  # fmt: skip


@pytest.mark.parametrize(("records", "reason"), IGNORED.values(), ids=IGNORED)
def test_a_record_that_does_not_count_says_why(records: Sequence[Record], reason: Ignored) -> None:
    before, _ = folded(*records[:-1])
    fold, told = folded(*records)
    assert told == [*([None] * (len(records) - 1)), reason]
    assert fold.ignored == {reason: 1}
    assert state(fold) == state(before)


def test_a_close_at_the_deadline_ends_an_open_proposal_and_a_vote_behind_it_comes_late() -> None:
    for since_s, outcome in [(DEADLINE_S - 0.001, None), (DEADLINE_S, "abort")]:
        fold, _ = folded(*OPEN)
        fold.apply(Place(9, fold.tasks["t"].proposals[0].place.stored_s + since_s), Closed("b", "t", 1, 3))
        assert fold.tasks["t"].proposals[0].outcome == outcome


def test_a_proposal_that_was_aborted_is_made_once_more_and_then_settled() -> None:
    fold, _ = folded(*OPEN)
    for attempt in range(1, ATTEMPTS + 1):
        standing = fold.tasks["t"]
        assert standing.final is None
        if attempt > 1:
            assert fold.apply(Place(fold.sequence + 1, 200.0 * attempt), Proposed("b", "t", attempt)) is None
        last = standing.proposals[-1]
        assert standing.open is last
        close = Closed("c", "t", attempt, last.place.sequence)
        assert fold.apply(Place(fold.sequence + 1, 200.0 * attempt + DEADLINE_S), close) is None
    assert fold.tasks["t"].final is fold.tasks["t"].proposals[-1]
    assert fold.tasks["t"].awaited is None


def test_votes_of_a_proposal_count_by_the_members_it_was_made_under() -> None:
    """Another epoch changes neither who votes on what is open, nor the count; it lets it be closed."""
    fold, told = folded(*OPEN, epoch(2, "abcde"), vote("a", 3), vote("b", 3))
    assert (told, final(fold)) == ([None] * 6, ("approve", 6))
    fold, told = folded(*OPEN, epoch(2, "abcde"), Closed("e", "t", 1, 3))
    assert (told[-1], fold.tasks["t"].proposals[0].outcome, fold.tasks["t"].awaited) == (None, "abort", 2)


def test_what_was_told_wrongly_is_known_so_that_who_tells_it_rightly_can_follow_it() -> None:
    wrong = decided("c", outcome="reject", at=99)
    fold, told = folded(*OPEN, vote("a", 3), vote("b", 3), wrong)
    assert (told[-1], fold.tasks["t"].told, fold.tasks["t"].misled) == ("wrong-decision", {1: 6}, {99})
    assert fold.apply(Place(7, 300.0), decided("a")) is None
    assert (fold.tasks["t"].told, fold.tasks["t"].proposals[0].told) == ({1: 7}, 7)


def test_records_come_in_order() -> None:
    fold, _ = folded(*OPEN)
    with pytest.raises(ValueError, match="comes after"):
        fold.apply(Place(3, 0.0), Unreadable())


# Any log whatsoever.

names = st.sampled_from(PEERS)
tasks = st.sampled_from(["t", "u"])
attempts = st.integers(1, ATTEMPTS + 1)
places = st.integers(1, 40)
verdicts: st.SearchStrategy[Verdict] = st.sampled_from(["yes", "yes", "no", "abstain"])
outcomes: st.SearchStrategy[Literal["approve", "reject", "abort"]] = st.sampled_from(
    ["approve", "reject", "abort"]
)


@st.composite
def logs(draw: st.DrawFn) -> list[tuple[Place, Record]]:
    """A log of peers that are partly honest: votes mostly name what is there, and are partly forged."""
    log: list[tuple[Place, Record]] = []
    stored_s, number = 0.0, 1
    proposals: list[tuple[str, int, int, int]] = []
    for sequence in range(1, draw(st.integers(5, 40))):
        stored_s += draw(st.sampled_from([0.0, 0.01, 0.2]))
        record: Record
        match draw(st.sampled_from("eetpppvvvvvvvvvvcd")) if sequence > 2 else "et"[sequence - 1]:
            case "e" if sequence == 1 or draw(st.integers(0, 5)) == 0:
                members = draw(st.sets(names, min_size=2))
                record = epoch(
                    number, sorted(members), draw(st.sampled_from(["majority", "two-thirds", "all"]))
                )
                number += draw(st.sampled_from([1, 1, 1, 0]))
            case "t":
                record = Tasked(draw(tasks), "k")
            case "p":
                task, attempt = draw(tasks), draw(attempts)
                record = Proposed(draw(names), task, attempt, draw(st.integers(0, 3)))
                proposals.append((task, attempt, sequence, number - 1))
            case kind if proposals:
                task, attempt, at, of = draw(st.sampled_from(proposals))
                if draw(st.integers(0, 9)) == 0:
                    task, attempt, at = draw(tasks), draw(attempts), draw(places)
                peer = draw(names)
                if kind == "c":
                    record = Closed(peer, task, attempt, at)
                elif kind == "d":
                    record = Decided(peer, "k", task, attempt, draw(outcomes), of, at, draw(places))
                else:
                    of += draw(st.sampled_from([0, 0, 0, 0, 0, 1]))
                    by = draw(st.sampled_from([peer, peer, peer, peer, "a"]))
                    record = vote(peer, at, draw(verdicts), task=task, attempt=attempt, epoch=of, by=by)
            case _:
                record = Unreadable()
        log.append((Place(sequence, stored_s), record))
    return log


def fold_of(log: Sequence[tuple[Place, Record]]) -> Fold:
    fold = Fold(deadline_s=DEADLINE_S, verify=verify)
    for place, record in log:
        fold.apply(place, record)
    return fold


def state(fold: Fold) -> object:
    """All that a fold has come to, but for what it ignored."""
    return (
        fold.epoch,
        {
            task: [(p.peer, p.place, p.epoch, dict(p.votes), p.outcome, p.at, p.told) for p in at.proposals]
            for task, at in fold.tasks.items()
        },
    )


@settings(max_examples=60)
@given(logs())
def test_two_readers_of_the_same_prefix_agree_however_often_one_begins_anew(
    log: list[tuple[Place, Record]],
) -> None:
    steady = Fold(deadline_s=DEADLINE_S, verify=verify)
    for read, (place, record) in enumerate(log, start=1):
        steady.apply(place, record)
        anew = fold_of(log[:read])
        assert (state(anew), anew.ignored, anew.sequence) == (state(steady), steady.ignored, steady.sequence)


@settings(max_examples=60)
@given(logs())
def test_what_is_ignored_has_no_say(log: list[tuple[Place, Record]]) -> None:
    fold = Fold(deadline_s=DEADLINE_S, verify=verify)
    counted = [(place, record) for place, record in log if fold.apply(place, record) is None]
    without = fold_of(counted)
    assert (state(without), without.ignored.total()) == (state(fold), 0)
    assert fold.ignored.total() == len(log) - len(counted)


@settings(max_examples=60)
@given(logs())
def test_what_is_decided_stays_as_it_is(log: list[tuple[Place, Record]]) -> None:
    fold = Fold(deadline_s=DEADLINE_S, verify=verify)
    known: dict[tuple[str, int], tuple[object, ...]] = {}
    for place, record in log:
        fold.apply(place, record)
        for at in fold.tasks.values():
            assert [p.attempt for p in at.proposals] == [*range(1, len(at.proposals) + 1)]
            assert len(at.proposals) <= ATTEMPTS
            assert all(p.outcome == "abort" for p in at.proposals[:-1])
            for p in at.proposals:
                if p.outcome is not None:
                    now = (p.outcome, p.at, dict(p.votes), p.epoch.number)
                    assert known.setdefault((p.task, p.attempt), now) == now


@settings(max_examples=60)
@given(logs())
def test_a_count_by_hand_comes_to_the_same(log: list[tuple[Place, Record]]) -> None:
    """Each proposal that counts, recounted from the log alone, as its definition reads."""
    fold = fold_of(log)
    for at in fold.tasks.values():
        for proposal in at.proposals:
            assert recounted(log, proposal, fold) == (proposal.outcome, proposal.at)


def recounted(log: Sequence[tuple[Place, Record]], of: Proposal, fold: Fold) -> tuple[str | None, int]:
    force: Epoch | None = None
    at_its_place: Epoch | None = None
    yes: set[str] = set()
    heard: set[str] = set()
    for place, record in log:
        if isinstance(record, Epoch) and (force is None or record.number == force.number + 1):
            force = record
        if place == of.place:
            at_its_place = force
        if at_its_place is None or place.sequence <= of.place.sequence:
            continue
        names_it = getattr(record, "proposal", 0) == of.place.sequence and (
            getattr(record, "task", ""), getattr(record, "attempt", 0)
        ) == (of.task, of.attempt)  # fmt: skip
        members = at_its_place.keys
        assert force is not None
        if isinstance(record, Voted) and names_it and record.peer in members and record.peer not in heard:
            if record.epoch == at_its_place.number and verify(members[record.peer], record):
                heard.add(record.peer)
                yes |= {record.peer} if record.verdict == "yes" else set()
                needed = at_its_place.quorum.needed
                if len(yes) >= needed:
                    return "approve", place.sequence
                if len(yes) + len(members) - len(heard) < needed:
                    return "reject", place.sequence
        elif isinstance(record, Closed) and names_it and record.peer in force.keys:
            late = place.stored_s >= of.place.stored_s + DEADLINE_S
            if late or force.number != at_its_place.number:
                return "abort", place.sequence
    return None, 0


# The rule.


@pytest.mark.parametrize("members", range(1, 10))
@pytest.mark.parametrize(
    ("rule", "share"),
    [("majority", Fraction(1, 2)), ("two-thirds", Fraction(2, 3)), ("weighted", Fraction(1, 2))],
)
def test_a_quorum_is_the_smallest_number_above_its_share(members: int, rule: Rule, share: Fraction) -> None:
    quorum = Quorum.of(rule, {str(number): 1 for number in range(members)})
    assert quorum.needed > members * share >= quorum.needed - 1
    assert quorum.spared() == members - quorum.needed


@given(st.dictionaries(names, st.integers(1, 9), min_size=1), st.sampled_from(RULES), st.data())
def test_of_the_votes_still_to_come_none_can_turn_an_outcome(
    weights: dict[str, int], rule: Rule, data: st.DataObject
) -> None:
    quorum = Quorum.of(rule, weights)
    cast = {name: data.draw(verdicts) for name in weights}
    outcomes = [quorum.outcome({name: cast[name] for name in list(cast)[:n]}) for n in range(len(cast) + 1)]
    settled = [outcome for outcome in outcomes if outcome is not None]
    assert len(set(settled)) == 1
    assert outcomes == [None] * (len(outcomes) - len(settled)) + settled


@given(st.dictionaries(names, st.integers(1, 9), min_size=1), st.sampled_from(RULES))
def test_two_quorums_of_the_same_members_have_one_in_common(weights: dict[str, int], rule: Rule) -> None:
    quorum = Quorum.of(rule, weights)
    assert 2 * quorum.needed > sum(quorum.weights.values())
    assert quorum.needed <= sum(quorum.weights.values())


def test_no_quorum_without_members() -> None:
    with pytest.raises(ValueError, match="members"):
        Quorum.of("majority", {})
    with pytest.raises(ValueError, match="weight"):
        Quorum.of("weighted", {"a": 0})
