"""What the checks of mesh say of a good history, of none, and of what somebody did to a good one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.histories import T, case_in
from tests.unit.mesh_histories import PEERS, Made, MeshRun, good_mesh, judged_case

from squall.bus.signing import new_key
from squall.chaos.evidence.model import Handled, History
from squall.chaos.judge.case import case_of
from squall.chaos.judge.checks.mesh import PROMISES, given_up
from squall.chaos.judge.checks.witness import compared
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


def withheld(run: MeshRun) -> None:
    order_id = effect_id("a-4", 0)
    run.journal = [row for row in run.journal if row[0] != order_id]
    run.fills = [row for row in run.fills if row[0] != order_id]
    facts = {"what": "unapproved", "task": "a-4", "order_id": order_id, "reason": "it was not approved"}
    run.line(4.4, "gateway", "refuse", "fail", **facts)


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
    "it was carried out before anybody wrote that it was decided": (
        lambda run: run.record("register", task="a-4").update(time_s_stored=T + 4.225),
        "M5",
        "been carried out before its decision was recorded: a-4",
    ),
    "the gateway refused what was approved": (
        withheld,
        "M5",
        "been approved, and its effects refused: a-4",
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


@pytest.mark.parametrize("oldest", ["a-3", "a-5"])  # of those before a-3 much was said after it
def test_what_is_over_and_was_removed_from_the_log_accuses_nobody(oldest: str, tmp_path: Path) -> None:
    run = good_mesh()
    below = run.record("tasked", task=oldest)["seq"]
    run.stored(12.0, "trimmed", below=below)
    gone = ("tasked", "proposal", "vote", "close", "decision")
    run.rows = [r for r in run.rows if r.get("what") not in gone or r["seq"] >= below]
    found = judged(run, tmp_path)
    assert {name: each.verdict for name, each in found.items()} == dict.fromkeys(OWN, "pass")
    run.rows.remove(vote_of(run, "agent-1", "a-5"))  # what is left is judged all the same
    again = tmp_path / "again"
    again.mkdir()
    assert judged(run, again)["M2"].verdict == "fail"


def test_without_a_cut_a_minority_was_not_tried(tmp_path: Path) -> None:
    run = good_mesh()
    run.faults.clear()
    found = judged(run, tmp_path)["M3"]
    assert (found.verdict, found.exercised) == ("unknown", False)


@pytest.mark.parametrize("name", ["M1", "M2", "M3", "M4", "M6"])
@pytest.mark.parametrize("what", ["vote", "proposal", "close", "epoch", "decision", "tasked"])
def test_a_line_of_the_log_that_is_lost_makes_nothing_pass_and_accuses_nobody(
    name: str, what: str, tmp_path: Path
) -> None:
    run = good_mesh()
    path = run.write(tmp_path / "run")
    lines = (path / "history.jsonl").read_text().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if f'"what":"{what}"' in line.replace('": "', '":"'))
    (path / "history.jsonl").write_text("".join(lines[:at] + lines[at + 1 :]))
    found = CHECKS[name](case_in(path))
    assert found.verdict == "unknown", found.detail


def test_poison_alone_may_be_dead_and_each_has_its_letter(tmp_path: Path) -> None:
    run = good_mesh()
    run.record("register", task="a-2").update(status="dead", reason="its workers died")
    found = judged(run, tmp_path)["M5"]
    assert found.verdict == "fail"
    assert "given up as dead, and is no poison: a-2" in found.detail
    assert "1 dead task has no dead letter: a-2" in found.detail


def tried(run: MeshRun, peer: str, *began_s: tuple[int, float, int]) -> None:
    """A peer was started, and each time began this attempt at a task, which came to no end; 0 is none."""
    for incarnation, at_s, attempt in began_s:
        run.start(at_s - 0.1, peer, incarnation)
        if attempt:
            run.line(at_s, peer, "consider", "invoke", incarnation, task="a-2", attempt=attempt)


@pytest.mark.parametrize(
    ("struck", "at_s", "began_s", "verdict"),
    [
        ("agent-2", 14.5, [(2, 13.0, 1), (3, 14.0, 2)], "pass"),
        ("agent-2", 14.5, [(1, 12.0, 1), (2, 13.0, 1), (3, 14.0, 2)], "pass"),
        ("agent-2", 13.5, [(2, 13.0, 1), (3, 14.0, 2)], "fail"),  # not the last
        ("agent-3", 14.5, [(2, 13.0, 1), (3, 14.0, 2)], "fail"),  # not who made it
        (
            "agent-2",
            14.5,
            [(2, 13.0, 1), (3, 14.0, 0)],
            "pass",
        ),  # the last may have been counted, and not begun
        ("agent-3", 14.5, [(2, 13.0, 1), (3, 14.0, 0)], "fail"),
        ("agent-2", 14.5, [], "fail"),
    ],
)
def test_a_peer_whose_last_attempt_a_fault_cut_off_may_find_a_task_dead(
    struck: str, at_s: float, began_s: list[tuple[int, float, int]], verdict: str, tmp_path: Path
) -> None:
    run = good_mesh()
    run.spec.update(handler="squall.chaos.inject.handlers:poisoned", attempts=2)
    tried(run, "agent-2", *began_s)
    killed = {"id": "1/kill", "kind": "kill", "target": struck, "node": struck, "verified": True}
    run.faults.append({**killed, "start_s": T + at_s, "end_s": T + at_s + 0.1})
    run.record("register", task="a-2").update(
        status="dead", reason="no result: its workers died or hung", time_s_stored=T + 15.0
    )
    found = given_up(judged_case(run, tmp_path))
    assert any("is no poison: a-2" in said for said in found.shown) == (verdict == "fail"), found
    assert ("a fault cut off" in found.passed) == (verdict == "pass")


def test_where_tasks_kill_peers_nothing_is_undisturbed(tmp_path: Path) -> None:
    run = good_mesh()
    vote_of(run, "agent-1", "a-5").update(time_s_stored=T + 15.0)
    run.spec["handler"] = "squall.chaos.inject.handlers:poisoned"
    found = judged(run, tmp_path)["M4"]
    assert found.verdict == "pass", found.detail


def considered(run: MeshRun, task: str, *, fails: str = "") -> None:
    """Each peer's handler is asked about a task, and raises, where it is said what."""
    for peer in PEERS:
        run.line(0.2, peer, "consider", "invoke", task=task, attempt=1)
        if fails:
            run.line(0.3, peer, "handler", "fail", task=task, attempt=1, what="gave-up", reason=fails)
        run.line(0.3, peer, "consider", "fail" if fails else "ok", task=task, attempt=1)


def test_what_all_peers_handlers_failed_with_is_the_handlers_own_doing(tmp_path: Path) -> None:
    run = good_mesh()
    run.line(-0.5, "squall", "note", "ok", limits=[], environment={}, handler="mine:decide")
    considered(run, "a-2", fails="no quote")
    run.record("register", task="a-2").update(status="dead", reason="no quote", attempt=1)
    wrong = judged_case(run, tmp_path / "run").mistakes
    assert {task: mistake.reason for task, mistake in wrong.given_up.items()} == {"a-2": "no quote"}
    run.record("register", task="a-2").update(reason="something else")
    assert not judged_case(run, tmp_path / "other").mistakes.dead


@pytest.mark.parametrize(
    ("given", "returned", "wrong"),
    [
        ([1, 1, 1], [1, 1, 1], ""),
        ([1, 1], [1], ""),
        ([1, 1, 1, 1], [1], "more"),
        ([1], [], "unheard"),
        ([1], [2], "other"),
    ],
)
def test_a_register_is_as_some_peers_handler_returned(
    given: list[int], returned: list[int], wrong: str, tmp_path: Path
) -> None:
    run = good_mesh()
    considered(run, "a-1")
    run.rows = [row for row in run.rows if row.get("what") != "register" or row["task"] == "a-1"]
    history = judged_case(run, tmp_path / "run").history
    handled = Handled(given=len(given), returned=dict(enumerate(returned, 1)))
    found = compared(replace(history, witness={"a-1": handled}))
    assert found is not None
    assert {what: getattr(found, what) for what in ("more", "unheard", "other") if getattr(found, what)} == (
        {wrong: ["a-1"]} if wrong else {}
    )


def test_a_log_that_was_not_read_to_its_end_leaves_nothing_decided_unknown(tmp_path: Path) -> None:
    run = good_mesh()
    run.rows.remove(vote_of(run, "agent-1", "a-5"))
    run.drop("final", what="complete")
    assert judged(run, tmp_path)["M4"].verdict == "unknown"
