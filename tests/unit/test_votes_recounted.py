"""What the harness makes of a log of votes is what the peers make of it, whatever stands in it.

The two share no code: peers fold record by record, the harness looks at each proposal alone.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from squall.bus.signing import SigningKey, new_key, statement
from squall.chaos.judge import votes
from squall.services.rules.quorum import Quorum
from squall.services.rules.vote_records import verifier
from squall.services.rules.voting import (
    Closed,
    Decided,
    Epoch,
    Fold,
    Place,
    Proposed,
    Record,
    Tasked,
    Voted,
)

SWARM = "squall"
DEADLINE_S = 1.0
PEERS = [f"agent-{number}" for number in range(1, 6)]
TASKS = ["t-1", "t-2", "t-3"]
KEYS = {(peer, number): new_key() for peer in PEERS for number in range(2)}
RULES: list[Any] = ["majority", "two-thirds", "all", "weighted"]


def weight(peer: str) -> int:
    """What a peer's vote counts where votes are weighted."""
    return 1 + PEERS.index(peer)


class Drawn:
    """A log that is drawn, mostly such that something comes of it."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.rule = self.chance.choice(RULES)
        self.seq = 0
        self.now_s = 0.0
        self.records: list[tuple[Place, Record]] = []
        self.members: dict[str, SigningKey] = {}
        self.epoch = 0
        self.proposals: list[tuple[int, Proposed, int]] = []
        self._enter(self.chance.sample(PEERS, self.chance.randint(1, 5)))
        for _ in range(60):
            self._draw()

    def _put(self, record: Record) -> int:
        self.seq += self.chance.choice([1, 1, 2])
        self.now_s += self.chance.choice([0.0, 0.05, 0.3])
        self.records.append((Place(self.seq, self.now_s), record))
        return self.seq

    def _enter(self, names: list[str]) -> None:
        changed = self.chance.choice(names)
        self.members = {
            name: KEYS[name, 1] if name == changed else self.members.get(name, KEYS[name, 0])
            for name in names
        }
        self.epoch += self.chance.choice([1] * 9 + [2]) if self.epoch else 1
        weights = {name: weight(name) for name in names}
        keys = {name: key.public for name, key in self.members.items()}
        self._put(Epoch(self.epoch, keys, Quorum.of(self.rule, weights)))

    def _peer(self) -> str:
        return self.chance.choice(PEERS if self.chance.random() < 0.2 else sorted(self.members))

    def _draw(self) -> None:
        drawn = self.chance.random()
        if drawn < 0.04:
            others = [peer for peer in PEERS if peer not in self.members]
            names = sorted(self.members)
            if others and self.chance.random() < 0.5:
                names.append(self.chance.choice(others))
            elif len(names) > 1:
                names.remove(self.chance.choice(names))
            self._enter(names)
        elif drawn < 0.14:
            self._put(Tasked(self.chance.choice(TASKS), "k"))
        elif drawn < 0.3:
            made = Proposed(self._peer(), self.chance.choice(TASKS), self.chance.choice([1, 1, 2, 2, 3]))
            self.proposals.append((self._put(made), made, self.epoch))
        elif self.proposals:
            self._say_of(*self.chance.choice(self.proposals[-3:]))

    def _say_of(self, seq: int, made: Proposed, epoch: int) -> None:
        task = made.task if self.chance.random() < 0.95 else self.chance.choice(TASKS)
        attempt = made.attempt if self.chance.random() < 0.95 else 1
        peer = self._peer()
        drawn = self.chance.random()
        if drawn < 0.15:
            self._put(Closed(peer, task, attempt, seq))
        elif drawn < 0.2:
            self._put(Decided(peer, "k", task, attempt, "approve", epoch, seq, self.seq))
        else:
            said = epoch if self.chance.random() < 0.9 else epoch - 1
            verdict: Any = self.chance.choice(["yes", "yes", "yes", "no", "abstain"])
            key = self.members.get(peer) if self.chance.random() < 0.9 else None
            signed = statement(SWARM, epoch=said, proposal=seq, task=task, attempt=attempt, verdict=verdict)
            signature = (key or self.chance.choice(list(KEYS.values()))).sign(signed)
            self._put(Voted(peer, task, attempt, said, seq, verdict, signature))


def folded(drawn: Drawn) -> dict[tuple[str, int], tuple[Any, ...]]:
    """What the peers make of it, by task and attempt."""
    fold = Fold(deadline_s=DEADLINE_S, verify=verifier(SWARM))
    for place, record in drawn.records:
        fold.apply(place, record)
    return {
        (task, proposal.attempt): (
            proposal.place.sequence,
            proposal.epoch.number,
            proposal.outcome or "",
            proposal.at,
            sorted(peer for peer, verdict in proposal.votes.items() if verdict == "yes"),
        )
        for task, standing in fold.tasks.items()
        for proposal in standing.proposals
    }


def recounted(drawn: Drawn) -> dict[tuple[str, int], tuple[Any, ...]]:
    """What the harness makes of it."""
    log = votes.Log([], {}, [], [], [])
    epochs, tasks = [], dict[str, int]()
    for place, record in drawn.records:
        match record:
            case Epoch():
                needed = votes.needed(drawn.rule, [weight(peer) for peer in record.keys])
                weights = {peer: weight(peer) if drawn.rule == "weighted" else 1 for peer in record.keys}
                epochs.append(votes.Epoch(place.sequence, record.number, record.keys, weights, needed))
            case Tasked():
                tasks.setdefault(record.task, place.sequence)
            case Proposed():
                made = (place.sequence, place.stored_s, record.peer, record.task, record.attempt)
                log.proposals.append(votes.Proposal(*made))  # type: ignore[attr-defined]
            case Voted():
                log.votes.append(  # type: ignore[attr-defined]
                    votes.Vote(
                        place.sequence,
                        place.stored_s,
                        record.peer,
                        record.task,
                        record.attempt,
                        record.epoch,
                        record.proposal,
                        record.verdict,
                        record.signature,
                    )
                )
            case Closed():
                close = (place.sequence, place.stored_s, record.peer, record.task, record.attempt)
                log.closes.append(votes.Close(*close, record.proposal))  # type: ignore[attr-defined]
            case _:
                pass
    found = votes.rulings(
        log._replace(epochs=epochs, tasks=tasks), is_signed=votes.signed_for(SWARM), deadline_s=DEADLINE_S
    )
    return {
        (task, ruling.proposal.attempt): (
            ruling.proposal.seq,
            ruling.epoch.number,
            ruling.outcome,
            ruling.at,
            sorted(ruling.yes),
        )
        for task, of in found.items()
        for ruling in of
    }


@pytest.mark.parametrize("part", range(10))
def test_peers_and_harness_count_alike(part: int) -> None:
    for seed in range(60 * part, 60 * part + 60):
        drawn = Drawn(seed)
        assert folded(drawn) == recounted(drawn), f"seed {seed}"


def test_what_is_drawn_comes_to_every_end() -> None:
    ends = {end[2] for seed in range(60) for end in folded(Drawn(seed)).values()}
    attempts = {attempt for seed in range(60) for _, attempt in folded(Drawn(seed))}
    assert ends == {"approve", "reject", "abort", ""}
    assert attempts == {1, 2}
