"""Builds run directories of equal peers by hand: a good one, to be doctored.

Three peers. ``a-1`` is approved, ``a-2`` rejected, ``a-3`` aborted and then approved, ``a-4`` approved while
agent-3 is cut off. While ``a-6`` is open agent-3 leaves, so that it is aborted, and approved by those that
are left, who approve ``a-5`` too.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.unit.histories import Row, Run, T, case_in

from squall.bus.signing import SigningKey, new_key, statement
from squall.chaos.judge.case import Case
from squall.services.handlers import effect_id

SWARM = "squall"
PEERS = ("agent-1", "agent-2", "agent-3")
DEADLINE_S = 0.5


@dataclass
class Made:
    """Where a proposal is, and in which epoch."""

    seq: int
    task: str
    attempt: int
    epoch: int


class MeshRun(Run):
    """A run of equal peers that is still to be written.

    Attributes:
        keys: What each peer signs with.
        seq: The last place of the log.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keys: dict[str, SigningKey] = {peer: new_key() for peer in PEERS}
        self.seq = 0
        self.number = 0

    def stored(self, at_s: float, what: str, **facts: Any) -> Row:
        """A record of the log, as it was read back."""
        self.seq += 1
        return self.line(
            20.0, "squall", "final", "ok", what=what, seq=self.seq, time_s_stored=T + at_s, **facts
        )

    def epoch(self, at_s: float, *peers: str, rule: str = "majority") -> Row:
        self.number += 1
        members = [{"name": peer, "key": self.keys[peer].public, "weight": 1} for peer in peers]
        return self.stored(at_s, "epoch", epoch=self.number, members=members, rule=rule)

    def task(self, at_s: float, task: str) -> None:
        self.submit(at_s, task)
        self.stored(at_s + 0.01, "tasked", task=task, key="a")

    def propose(self, at_s: float, peer: str, task: str, attempt: int = 1) -> Made:
        facts = {"effects": [b"an order"], "dead": False, "reason": ""}
        self.stored(at_s, "proposal", agent=peer, task=task, attempt=attempt, **facts)
        return Made(self.seq, task, attempt, self.number)

    def vote(self, at_s: float, peer: str, made: Made, verdict: Any, epoch: int = 0) -> Row:
        said: Any = {"epoch": epoch or made.epoch, "proposal": made.seq}
        about: Any = {"task": made.task, "attempt": made.attempt, "verdict": verdict}
        signature = self.keys[peer].sign(statement(SWARM, **said, **about))
        signed = base64.b64encode(signature).decode()
        return self.stored(at_s, "vote", agent=peer, signature=signed, **said, **about)

    def close(self, at_s: float, peer: str, made: Made) -> Row:
        about = {"task": made.task, "attempt": made.attempt, "proposal": made.seq}
        return self.stored(at_s, "close", agent=peer, **about)

    def decide(self, at_s: float, peer: str, made: Made, outcome: str) -> None:
        """The last record decided a proposal: all peers see it, and one says so."""
        about: Any = {"task": made.task, "attempt": made.attempt, "outcome": outcome, "at": self.seq}
        for each in PEERS:
            self.line(at_s, each, "decided", "ok", **about)
        self.stored(at_s, "decision", agent=peer, key="a", epoch=made.epoch, proposal=made.seq, **about)

    def end(self, at_s: float, task: str, status: str = "ok") -> None:
        """It is executed, its register written, and its effect filled."""
        effects = [effect_id(task, 0)] if status == "ok" else []
        self.register(at_s, task, term=0, status=status, effects=effects)
        self.line(at_s, "agent-1", "commit", "ok", task=task, attempt=1, status=status)
        if status == "ok":
            self.journal.append((effect_id(task, 0), '{"quantity":1}'))
            self.fills.append((effect_id(task, 0), T + at_s + 0.1))

    def record(self, what: str, **facts: Any) -> Row:
        return self.find("final", what=what, **facts)


def judged_case(run: MeshRun, path: Path) -> Case:
    return case_in(run.write(path))


def good_mesh() -> MeshRun:
    """A run in which everything held."""
    run = MeshRun()
    run.spec = {
        "pattern": "mesh",
        "swarm": SWARM,
        "seed": 7,
        "agents": 3,
        "tasks": 6,
        "deadline_s": DEADLINE_S,
        "strike_peers": False,
    }
    for node in ("broker", "venue", "registrar", "gateway", *PEERS, "producer"):
        run.start(-1.0, node)
    run.epoch(0.0, *PEERS)
    for number, task in enumerate(("a-1", "a-2", "a-3"), 1):
        run.task(number / 10, task)

    made = run.propose(0.5, "agent-1", "a-1")
    run.vote(0.51, "agent-1", made, "yes")
    run.vote(0.52, "agent-2", made, "yes")
    run.decide(0.53, "agent-2", made, "approve")
    run.vote(0.54, "agent-3", made, "no")  # late
    run.end(0.6, "a-1")

    made = run.propose(0.7, "agent-2", "a-2")
    run.vote(0.71, "agent-1", made, "no")
    run.vote(0.72, "agent-2", made, "yes")
    run.vote(0.73, "agent-3", made, "abstain")
    run.decide(0.74, "agent-1", made, "reject")
    run.end(0.8, "a-2", "cancelled")

    made = run.propose(1.0, "agent-3", "a-3")
    run.vote(1.01, "agent-3", made, "yes")
    run.close(1.2, "agent-1", made)  # premature
    run.close(1.6, "agent-1", made)
    run.decide(1.61, "agent-1", made, "abort")
    made = run.propose(1.7, "agent-3", "a-3", attempt=2)
    run.vote(1.71, "agent-3", made, "yes")
    run.vote(1.72, "agent-1", made, "yes")
    run.decide(1.73, "agent-3", made, "approve")
    run.end(1.8, "a-3")

    run.faults.append(
        {
            "kind": "blackhole",
            "target": "agent-3",
            "node": "agent-3",
            "start_s": T + 2.0,
            "end_s": T + 6.0,
            "healed_s": T + 6.1,
            "verified": True,
        }
    )
    run.task(4.0, "a-4")
    made = run.propose(4.2, "agent-1", "a-4")
    run.vote(4.21, "agent-1", made, "yes")
    run.vote(4.22, "agent-2", made, "yes")
    run.decide(4.23, "agent-2", made, "approve")
    run.end(4.3, "a-4")

    run.task(8.0, "a-6")
    made = run.propose(8.9, "agent-1", "a-6")
    run.vote(8.91, "agent-1", made, "yes")
    run.epoch(9.0, "agent-1", "agent-2")
    run.close(9.05, "agent-2", made)  # at once, as the epoch is another
    run.decide(9.06, "agent-2", made, "abort")
    made = run.propose(9.07, "agent-2", "a-6", attempt=2)
    run.vote(9.08, "agent-2", made, "yes")
    run.vote(9.09, "agent-1", made, "yes")
    run.decide(9.1, "agent-1", made, "approve")
    run.end(9.2, "a-6")

    run.task(9.3, "a-5")
    made = run.propose(9.5, "agent-2", "a-5")
    run.vote(9.51, "agent-2", made, "yes")
    run.vote(9.52, "agent-1", made, "yes")
    run.decide(9.53, "agent-1", made, "approve")
    run.end(9.6, "a-5")
    run.line(20.0, "squall", "final", "ok", what="queue", dispatched=8, arrivals=8, left=0)
    run.line(21.0, "squall", "final", "ok", what="complete", drained=True, bound_s=60.0, took_s=1.0)
    return run
