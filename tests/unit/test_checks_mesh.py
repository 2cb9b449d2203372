"""M1 to M6 on histories that were doctored: each defect is seen, by the check that it is about."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from squall.bus.signing import new_key, statement
from squall.chaos.evidence.facts import Injected, Register
from squall.chaos.evidence.model import History
from squall.chaos.judge.case import Case, case_of
from squall.chaos.judge.checks import mesh
from squall.chaos.judge.checks.vote_log import (
    CloseRead,
    DecisionRead,
    EpochRead,
    Member,
    ProposalRead,
    Seen,
    TaskRead,
    VoteRead,
)

PEERS = ("agent-1", "agent-2", "agent-3")
KEYS = {name: new_key() for name in (*PEERS, "agent-4")}
BEGIN_S = 1000.0


class Log:
    """A log as it is read back, written record by record."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        self._places = itertools.count(1)
        self.now_s = BEGIN_S

    def _add(self, kind: Any, **facts: Any) -> int:
        self.now_s += 0.01
        seq = next(self._places)
        if "stored_s" in kind.__struct_fields__:
            facts["stored_s"] = self.now_s
        self.lines.append(kind(time_s=self.now_s, node="squall", seq=seq, **facts))
        return seq

    def epoch(self, number: int, members: tuple[str, ...] = PEERS) -> int:
        named = tuple(Member(name, KEYS[name].public, 1) for name in members)
        return self._add(EpochRead, epoch=number, members=named, rule="majority")

    def task(self, task: str) -> int:
        return self._add(TaskRead, task=task, key="k")

    def propose(self, task: str, peer: str = "agent-1", attempt: int = 1) -> int:
        return self._add(ProposalRead, agent=peer, task=task, attempt=attempt, effects=(b"{}",))

    def vote(self, peer: str, task: str, proposal: int, verdict: str = "yes", epoch: int = 1) -> int:
        said = statement("s", epoch=epoch, proposal=proposal, task=task, attempt=1, verdict=verdict)  # type: ignore[arg-type]
        signature = base64.b64encode(KEYS[peer].sign(said)).decode()
        named = {"epoch": epoch, "proposal": proposal, "verdict": verdict, "signature": signature}
        return self._add(VoteRead, agent=peer, task=task, attempt=1, **named)

    def decide(self, task: str, proposal: int, at: int, outcome: str = "approve", epoch: int = 1) -> int:
        named = {"outcome": outcome, "epoch": epoch, "proposal": proposal, "at": at}
        return self._add(DecisionRead, agent="agent-1", task=task, attempt=1, **named)

    def close(self, task: str, proposal: int) -> int:
        return self._add(CloseRead, agent="agent-2", task=task, attempt=1, proposal=proposal)

    def seen(self, task: str, at: int, outcome: str = "approve", node: str = "agent-2") -> None:
        self.lines.append(Seen(time_s=self.now_s, node=node, task=task, attempt=1, outcome=outcome, at=at))


def approved(log: Log, task: str = "t") -> tuple[int, int]:
    """A task that is proposed and approved; the places of the proposal and of the vote that decided."""
    log.task(task)
    proposal = log.propose(task)
    log.vote("agent-1", task, proposal)
    return proposal, log.vote("agent-2", task, proposal)


def case(log: Log, *, status: str = "ok", faults: tuple[Injected, ...] = ()) -> Case:
    records: dict[Any, list[Any]] = {}
    for line in log.lines:
        records.setdefault(type(line), []).append(line)
    register = Register(task="t", key="k", job="j", status=status, effects=("t-0",), stored_s=log.now_s)  # type: ignore[arg-type]
    history = History(
        spec={"swarm": "s", "deadline_s": 0.5},
        records=records,
        registers=(register,),
        faults=faults,
        lines=1,
    )
    return case_of(history, None)


def good() -> Log:
    log = Log()
    log.epoch(1)
    proposal, at = approved(log)
    log.decide("t", proposal, at)
    log.seen("t", at)
    return log


def seen_elsewhere(log: Log) -> None:
    log.seen("t", 4, node="agent-3")


def told_against_the_count(log: Log) -> None:
    log.decide("t", 3, 5, outcome="reject")


def told_too_early(log: Log) -> None:
    log.task("u")
    proposal = log.propose("u")
    log.decide("u", proposal, proposal)


def told_of_another_epoch(log: Log) -> None:
    log.decide("t", 3, 5, epoch=2)


def an_epoch_twice(log: Log) -> None:
    log.epoch(1)


DEFECTS: dict[str, tuple[Callable[[Log], None], Callable[[Case], Any]]] = {
    "a peer counts something else": (seen_elsewhere, mesh.agreement),
    "a decision is written against the count": (told_against_the_count, mesh.validity),
    "a decision is written before there is one": (told_too_early, mesh.validity),
    "a decision names another epoch": (told_of_another_epoch, mesh.epoch_safety),
    "an epoch is written twice": (an_epoch_twice, mesh.epoch_safety),
}


@pytest.mark.parametrize(("doctor", "check"), DEFECTS.values(), ids=DEFECTS)
def test_a_defect_is_seen(doctor: Callable[[Log], None], check: Callable[[Case], Any]) -> None:
    log = good()
    assert check(case(log)).verdict != "fail"
    doctor(log)
    assert check(case(log)).verdict == "fail"


@pytest.mark.parametrize(
    ("verdicts", "status", "agrees"),
    [
        ("yy", "ok", True),
        ("yy", "cancelled", False),
        ("nn", "cancelled", True),
        ("nn", "ok", False),
        ("y", "ok", False),
    ],
)
def test_a_register_must_say_what_the_votes_came_to(verdicts: str, status: str, agrees: bool) -> None:
    log = Log()
    log.epoch(1)
    log.task("t")
    proposal = log.propose("t")
    for peer, verdict in zip(PEERS, verdicts, strict=False):
        log.vote(peer, "t", proposal, {"y": "yes", "n": "no"}[verdict])
    assert (mesh.agreement(case(log, status=status)).verdict == "fail") is not agrees


def test_who_is_cut_off_and_writes_all_the_same_is_seen() -> None:
    cut = Injected(kind="blackhole", target="any-agent", node="agent-2", start_s=BEGIN_S - 2, verified=True)
    for end_s, verdict in [(BEGIN_S + 5, "fail"), (BEGIN_S - 1, "unknown")]:
        found = mesh.minority_stalls(case(good(), faults=(replace(cut, end_s=end_s, healed_s=end_s),)))
        assert (found.verdict == "fail") is (verdict == "fail")
    assert "no peer was cut off" in mesh.minority_stalls(case(good())).detail


def test_a_proposal_that_stays_open_is_seen() -> None:
    log = good()
    log.task("u")
    log.propose("u")
    assert "never decided" in mesh.termination(case(log)).detail
    log.now_s += 30.0
    log.close("u", log.lines[-1].seq)
    assert "too long" in mesh.termination(case(log)).detail
