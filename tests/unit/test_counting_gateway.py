"""A register waits for the log to be read as far as it was when the register had come, and no longer."""

from __future__ import annotations

from tests.unit.test_voting import OPEN, decided, folded, vote

from squall.bus.messages import TaskResult
from squall.bus.vote_messages import Propose
from squall.services.roles.counting_gateway import NOT_DECIDED, Waits, refused
from squall.services.rules.voting import Place, Proposed, Record, Tasked

ORDER = b'{"side":"buy"}'


def register(*effects: bytes, task: str = "t") -> TaskResult:
    return TaskResult(task=task, key="k", job="j", status="ok", effects=effects)


def proposed(*effects: bytes) -> tuple[Record, ...]:
    return OPEN[0], Tasked("t", "k"), Proposed("a", "t", 1, Propose(epoch=1, effects=effects))


def test_what_the_log_has_approved_waits_for_nothing() -> None:
    fold, _ = folded(*proposed(ORDER), vote("a", 3), vote("b", 3))
    waits = Waits(fold)
    assert waits.are_over(register(ORDER))
    assert refused(fold, register(ORDER)) == ""
    assert refused(fold, register(ORDER, ORDER)) == "the peers approved something else"
    assert not waits.some.is_set()


def test_one_that_comes_before_its_decision_is_read_waits_for_that() -> None:
    fold, _ = folded(*proposed(ORDER), vote("a", 3))
    waits = Waits(fold)
    assert not waits.are_over(register(ORDER))
    assert waits.some.is_set()
    waits.read_to(6, waits.boundless())
    assert not waits.some.is_set()
    assert not waits.are_over(register(ORDER))
    fold.apply(Place(5, 101.0), vote("b", 3))
    assert waits.are_over(register(ORDER))
    assert refused(fold, register(ORDER)) == ""


def test_one_whose_task_was_not_decided_when_it_came_is_refused() -> None:
    fold, _ = folded(*proposed(ORDER), vote("a", 3))
    waits = Waits(fold)
    forged, of_no_task = register(ORDER), register(ORDER, task="made-up")
    assert not waits.are_over(forged)
    waits.read_to(5, waits.boundless())
    assert not waits.are_over(of_no_task), "it has come since"
    fold.apply(Place(5, 101.0), decided("a", task="another"))
    assert waits.are_over(forged)
    assert refused(fold, forged) == NOT_DECIDED
    assert not waits.are_over(of_no_task)
    waits.read_to(5, waits.boundless())
    assert waits.are_over(of_no_task)
    assert refused(fold, of_no_task) == NOT_DECIDED
