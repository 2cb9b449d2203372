"""Whether so little comes of what a handler is given that it, and not the swarm, is to be looked at."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from squall.services.run.handled import handled_in

RAISED = "the handler raised ValueError: boom, at mine.py:7 in decide"


def attempt(task: int, what: str = "raised", reason: str = RAISED) -> dict[str, str]:
    return {"op": "handler", "type": "fail", "task": f"t-{task}", "what": what, "reason": reason}


def commit(task: int, status: str) -> dict[str, str]:
    return {"op": "commit", "type": "ok", "task": f"t-{task}", "status": status}


def tasks(first: int, last: int, *lines: str) -> list[dict[str, str]]:
    """Of so many tasks, what becomes of each."""
    made = {
        "raised": attempt,
        "order": lambda task: attempt(task, "order", "price is missing"),
        "ok": lambda task: commit(task, "ok"),
        "dead": lambda task: commit(task, "dead"),
    }
    return [made[line](task) for task in range(first, last) for line in lines]


@pytest.mark.parametrize(
    ("lines", "at_fault", "at_last"),
    [
        ([], False, False),
        (tasks(0, 100, "ok"), False, False),
        (tasks(0, 100, "raised"), False, True),
        (tasks(0, 100, "raised", "raised", "dead"), True, True),
        (tasks(0, 100, "raised", "ok"), False, False),
        (tasks(0, 100, "order", "ok"), True, True),
        (tasks(0, 100, "dead"), False, False),  # its workers died: that is no word of the handler's
        (tasks(0, 81, "raised", "dead") + tasks(81, 100, "ok"), True, True),
        (tasks(0, 79, "raised", "dead") + tasks(79, 100, "ok"), False, False),
        (tasks(0, 50, "raised", "dead") + tasks(50, 100, "ok"), False, False),
        ([{"op": "handler", "type": "fail"}, {"type": "ok"}], False, False),
    ],
)
def test_a_handler_is_at_fault_if_next_to_nothing_comes_of_what_it_is_given(
    tmp_path: Path, lines: list[dict[str, str]], at_fault: bool, at_last: bool
) -> None:
    history = tmp_path / "history.jsonl"
    history.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines) + b'{"op":"commit"')
    handled = handled_in(history)
    assert (handled.is_at_fault(), handled.is_at_fault(at_last=True)) == (at_fault, at_last)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], ""),
        ([attempt(1)], "the handler mine:decide raised ValueError: boom, at mine.py:7 in decide"),
        (tasks(0, 3, "raised") + tasks(3, 5, "order"), "the handler mine:decide raised … (3 times)"),
        (tasks(0, 1, "order"), "the handler mine:decide returned what is no order: price is missing"),
        (
            [attempt(1, reason="the result is too large: 9 bytes")],
            "the handler mine:decide: the result is too large: 9 bytes",
        ),
    ],
)
def test_what_it_did_most_often_is_told_with_its_name(
    tmp_path: Path, lines: list[dict[str, str]], said: str
) -> None:
    history = tmp_path / "history.jsonl"
    history.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    sentence = handled_in(history).sentence("mine:decide")
    begins, _, ends = said.partition("…")
    assert sentence.startswith(begins)
    assert sentence.endswith(ends)
    assert "…" in said or sentence == said


def test_of_no_history_nothing_is_told(tmp_path: Path) -> None:
    assert handled_in(tmp_path / "none").sentence("mine:decide") == ""
