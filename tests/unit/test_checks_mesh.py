<<<<<<< HEAD
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
=======
"""What the checks of mesh say of a good history, of none, and of what somebody did to a good one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import T
from tests.unit.mesh_histories import Made, MeshRun, good_mesh, judged_case

from squall.bus.signing import new_key
from squall.chaos.evidence.model import History
from squall.chaos.judge.case import case_of
from squall.chaos.judge.checks.mesh import PROMISES
from squall.chaos.judge.decide import Finding
from squall.services.handlers import effect_id

OWN = ("M1", "M2", "M3", "M4", "M5", "M6")
CHECKS = {promise.id: promise.check for promise in PROMISES.promises if promise.id in OWN}


def judged(run: MeshRun, path: Path) -> dict[str, Finding]:
    case = judged_case(run, path / "run")
    return {name: check(case) for name, check in CHECKS.items()}


@pytest.mark.parametrize("name", CHECKS)
def test_a_good_history_passes(name: str, tmp_path: Path) -> None:
    found = judged(good_mesh(), tmp_path)[name]
    assert found.verdict == "pass", found.detail


@pytest.mark.parametrize("name", CHECKS)
def test_an_empty_history_is_unknown(name: str) -> None:
    assert CHECKS[name](case_of(History(), None)).verdict == "unknown"


def made_of(run: MeshRun, task: str, attempt: int = 1) -> Made:
    row = run.record("proposal", task=task, attempt=attempt)
    decided = run.record("decision", task=task, attempt=attempt)
    return Made(row["seq"], task, attempt, decided["epoch"])


def vote_of(run: MeshRun, agent: str, task: str) -> dict[str, Any]:
    return run.record("vote", agent=agent, task=task)


def forged(run: MeshRun) -> None:
    """The second yes was signed with another key."""
    row, real = vote_of(run, "agent-2", "a-1"), run.keys["agent-2"]
    run.keys["agent-2"] = new_key()
    other = run.vote(0.52, "agent-2", made_of(run, "a-1"), "yes")
    run.keys["agent-2"] = real
    row["signature"] = other["signature"]
    run.rows.remove(other)


def twice(run: MeshRun) -> None:
    """The second yes is the first one's again."""
    first, second = vote_of(run, "agent-1", "a-1"), vote_of(run, "agent-2", "a-1")
    second.update({name: first[name] for name in ("agent", "signature")})


def of_who_has_left(run: MeshRun) -> None:
    """The second yes is of a member of the epoch before."""
    other = run.vote(9.52, "agent-3", made_of(run, "a-5"), "yes")
    row = vote_of(run, "agent-1", "a-5")
    row.update({name: other[name] for name in ("agent", "signature")})
    run.rows.remove(other)


def stale(run: MeshRun) -> None:
    """The second yes is for the epoch before."""
    other = run.vote(9.52, "agent-1", made_of(run, "a-5"), "yes", epoch=1)
    row = vote_of(run, "agent-1", "a-5")
    row.update({name: other[name] for name in ("epoch", "signature")})
    run.rows.remove(other)


def voted_while_cut(run: MeshRun) -> None:
    run.vote(5.0, "agent-3", made_of(run, "a-4"), "yes")


def without_effects(run: MeshRun, task: str) -> None:
    run.record("register", task=task)["effects"] = []
    run.journal = [row for row in run.journal if row[0] != effect_id(task, 0)]
    run.fills = [row for row in run.fills if row[0] != effect_id(task, 0)]


def fill_rejected(run: MeshRun) -> None:
    run.journal.append((effect_id("a-2", 0), '{"quantity":1}'))
    run.fills.append((effect_id("a-2", 0), T + 1.0))


Doctor = Callable[[MeshRun], Any]

DOCTORED: dict[str, tuple[Doctor, str, str]] = {
    "a peer saw another outcome": (
        lambda run: run.find("decided", node="agent-3", task="a-2").update(outcome="approve"),
        "M1",
        "agent-3 saw approve",
    ),
    "a peer saw it at another place": (
        lambda run: run.find("decided", node="agent-2", task="a-1").update(at=6),
        "M1",
        "agent-2 saw approve at 6",
    ),
    "a peer saw an attempt that there was none of": (
        lambda run: run.find("decided", node="agent-2", task="a-1").update(attempt=2),
        "M1",
        "attempt 2: agent-2 saw",
    ),
    "what was rejected has a register with effects": (
        lambda run: run.record("register", task="a-2").update(status="ok"),
        "M1",
        "votes do not bear out: a-2",
    ),
    "nobody wrote what was decided": (
        lambda run: run.drop("final", what="decision", task="a-4"),
        "M1",
        "no record of its decision: a-4",
    ),
    "a yes is missing": (lambda run: run.rows.remove(vote_of(run, "agent-2", "a-1")), "M2", "a-1"),
    "a yes was forged": (forged, "M2", "a register ok without a quorum of yes: a-1"),
    "one voted twice": (twice, "M2", "a register ok without a quorum of yes: a-1"),
    "one voted who is no member": (of_who_has_left, "M2", "a register ok without a quorum of yes: a-5"),
    "one voted in the epoch before": (stale, "M2", "a register ok without a quorum of yes: a-5"),
    "a yes stands behind the close": (
        lambda run: vote_of(run, "agent-2", "a-1").update(verdict="abstain"),
        "M2",
        "a-1",
    ),
    "a decision says something else": (
        lambda run: run.record("decision", task="a-2").update(outcome="approve"),
        "M2",
        "1 decisions that the log does not bear out: a-2 attempt 1 by agent-1",
    ),
    "who was cut off voted": (voted_while_cut, "M3", "agent-3 while blackhole was in force"),
    "one took too long": (
        lambda run: vote_of(run, "agent-1", "a-5").update(time_s_stored=T + 12.0),
        "M4",
        "took longer than 1.5 s",
    ),
    "one was open for long after all was healed": (
        lambda run: vote_of(run, "agent-1", "a-5").update(time_s_stored=T + 15.0),
        "M4",
        "open for too long after all was healed",
    ),
    "one was never decided": (
        lambda run: run.rows.remove(vote_of(run, "agent-1", "a-5")),
        "M4",
        "never decided: a-5",
    ),
    "a register is missing": (lambda run: run.drop("final", what="register", task="a-1"), "M5", "a-1"),
    "an effect was filled twice": (
        lambda run: run.fills.append((effect_id("a-1", 0), T + 1.0)),
        "M5",
        "a-1",
    ),
    "what was approved has no effect": (
        lambda run: without_effects(run, "a-4"),
        "M5",
        "other effects than were approved: a-4",
    ),
    "what was rejected was filled": (
        fill_rejected,
        "M5",
        effect_id("a-2", 0),
    ),
    "a decision names another epoch": (
        lambda run: run.record("decision", task="a-5").update(epoch=1),
        "M6",
        "another epoch than its proposal: a-5",
    ),
    "an epoch is missing": (
        lambda run: run.record("epoch", epoch=2).update(epoch=3),
        "M6",
        "epochs are numbered [1, 3]",
    ),
}


@pytest.mark.parametrize("name", DOCTORED)
def test_what_was_done_to_a_good_history_is_seen(name: str, tmp_path: Path) -> None:
    doctor, check, said = DOCTORED[name]
    run = good_mesh()
    doctor(run)
    found = judged(run, tmp_path)[check]
    assert (found.verdict, said in found.detail) == ("fail", True), found.detail


def test_what_nobody_counts_does_no_harm(tmp_path: Path) -> None:
    """Votes that are late, doubled or of strangers, and closes before their time."""
    run = good_mesh()
    made = made_of(run, "a-1")
    run.vote(10.0, "agent-3", made, "no")
    run.vote(10.0, "agent-1", made, "no")
    run.close(10.0, "agent-2", made)
    assert {name: found.verdict for name, found in judged(run, tmp_path).items()} == dict.fromkeys(
        OWN, "pass"
    )


def test_without_a_cut_a_minority_was_not_tried(tmp_path: Path) -> None:
    run = good_mesh()
    run.faults.clear()
    found = judged(run, tmp_path)["M3"]
    assert (found.verdict, found.exercised) == ("unknown", False)


def test_a_log_that_was_not_read_to_its_end_leaves_nothing_decided_unknown(tmp_path: Path) -> None:
    run = good_mesh()
    run.rows.remove(vote_of(run, "agent-1", "a-5"))
    run.drop("final", what="complete")
    assert judged(run, tmp_path)["M4"].verdict == "unknown"
>>>>>>> meshbus
