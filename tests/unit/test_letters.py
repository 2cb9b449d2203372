"""Dead letters of a run: which there are, what became of their attempts, and as what they are tried again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.histories import Run, good_run

from squall.chaos.tell.documents import history_of
from squall.chaos.tell.letters import Letter, generation, letters, replay
from squall.services.intake.store import Named, stored, take_in
from squall.services.run.directory import TASKS


def run_with_letters() -> Run:
    """One task was given up after two attempts, of which the second was cut off; one effect was refused."""
    run = good_run()
    run.submit(3.0, "d-1")
    run.line(3.1, "agent-1", "run", "invoke", task="d-1", attempt=1)
    run.line(3.4, "agent-1", "attempt", "fail", task="d-1", attempt=1, reason="it raised")
    run.line(4.0, "agent-2", "run", "invoke", task="d-1", attempt=2)
    run.register(6.0, "d-1", term=10, status="dead", attempt=2, reason="its workers died", agent="agent-1")
    refused = {"task": "a-1", "order_id": "a-1.0", "what": "declined", "reason": "no such symbol", "tries": 1}
    for at_s in (6.1, 6.2):  # told of again, after a repeat
        run.line(at_s, "gateway", "refuse", "fail", **refused)
    return run


def test_tasks_that_were_given_up_and_effects_that_were_refused_are_letters(tmp_path: Path) -> None:
    history = history_of(run_with_letters().write(tmp_path))
    called = {"d-1": Named("Order 1", "ACME")}
    task, effect = letters(history, lambda name: called.get(name, Named(name)))
    assert (task.kind, task.id, task.key, task.reason) == ("task", "Order 1", "ACME", "its workers died")
    assert [(tried.attempt, tried.agent, tried.failed) for tried in task.attempts] == [
        (1, "agent-1", True),
        (2, "agent-2", False),
    ]
    assert task.attempts[0].ended_s == pytest.approx(task.attempts[0].begun_s + 0.3)
    assert task.attempts[1].ended_s is None
    assert (effect.kind, effect.id, effect.task, effect.reason) == (
        "effect",
        "a-1.0",
        "a-1",
        "no such symbol",
    )


def test_a_run_in_which_all_ended_well_has_none(tmp_path: Path) -> None:
    assert letters(history_of(good_run().write(tmp_path)), Named) == []


@pytest.mark.parametrize(
    ("identity", "is_replay", "next_one"),
    [
        ("order-17", False, "order-17.2"),
        ("order-17.2", False, "order-17.2.2"),
        ("order-17.2", True, "order-17.3"),
        ("order-17.9", True, "order-17.10"),
        ("v1.x", True, "v1.x.2"),
    ],
)
def test_each_replay_is_a_generation_with_an_id_of_its_own(
    identity: str, is_replay: bool, next_one: str
) -> None:
    assert generation(identity, is_replay=is_replay) == next_one


def test_what_is_replayed_is_a_file_of_tasks_again(tmp_path: Path) -> None:
    source = tmp_path / "tasks.jsonl"
    source.write_text(
        '{"id": "Order 1", "key": "ACME Inc", "body": {"n": [1, "é"]}, "deadline": 1.0}\n'
        '{"id": "x", "key": "b", "body": 2}\n'
    )
    (tmp_path / "run").mkdir()
    take_in(str(source), tmp_path / "run")
    (first,) = [each.task for each in stored(tmp_path / "run" / TASKS) if each.id == "Order 1"]
    chosen = [Letter(kind="task", id="Order 1", task=first, key="ACME Inc", reason="")]
    again = replay(tmp_path / "run" / TASKS, chosen, is_replay=False)
    assert [json.loads(line) for line in again.splitlines()] == [
        {"id": "Order 1.2", "key": "ACME Inc", "body": {"n": [1, "é"]}}
    ]
