"""Whether so little comes of what a handler is given that it, and not the swarm, is to be looked at."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from squall.services.rules.blocking import HELD_S, STUCK_S
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


def held_up(times: int, seconds: float, *, inc: int = 1) -> dict[str, object]:
    at = "mine.py:3 in decide"
    return {
        "op": "held-up",
        "type": "ok",
        "node": "agent-1",
        "inc": inc,
        "at": at,
        "line": f"{at}: time.sleep(1)",
        "times": times,
        "seconds": seconds,
    }


def running(task: int, seconds: float) -> dict[str, object]:
    facts = {"task": f"t-{task}", "seconds": seconds, "line": "mine.py:7 in decide: LOCK.acquire()"}
    return {"op": "running", "type": "ok", **facts}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([held_up(1, HELD_S)], ""),  # a first call may take long
        ([held_up(9, HELD_S / 2)], ""),
        ([held_up(1, 1.0), held_up(1, 1.0, inc=2)], ""),
        ([held_up(1, 1.0), held_up(4, 1.5), held_up(1, 1.0, inc=2)], "5 times, for 1.50 s"),
        ([held_up(1, STUCK_S)], "once, for 5.00 s"),
    ],
)
def test_a_handler_that_blocks_its_loop_is_told_with_where(
    tmp_path: Path, lines: list[dict[str, object]], said: str
) -> None:
    history = tmp_path / "history.jsonl"
    history.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    told = f"the handler mine:decide held up its agents {said} at most, at mine.py:3 in decide: time.sleep(1)"
    assert handled_in(history).blocking("mine:decide") == (told if said else "")


def test_what_it_has_not_ended_is_told_by_what_it_is_at_for_longest(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    lines = [running(1, 5.0), running(2, 5.0), running(2, 10.0), running(3, 20.0), commit(3, "ok")]
    history.write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    assert handled_in(history).unending("mine:decide") == (
        "the handler mine:decide has not ended task t-2 after 10 s; "
        "it stands at mine.py:7 in decide: LOCK.acquire()"
    )


def test_of_no_history_nothing_is_told(tmp_path: Path) -> None:
    assert handled_in(tmp_path / "none").sentence("mine:decide") == ""


def test_tasks_that_wait_for_a_handler_that_is_away_say_why(tmp_path: Path) -> None:
    absent = {"op": "absent", "type": "fail", "reason": "connection refused"}
    history = tmp_path / "history.jsonl"
    rows = [{**absent, "task": "t-1"}, {**absent, "task": "t-2"}, commit(1, "ok")]
    history.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    handled = handled_in(history)
    assert handled.absent.keys() == {"t-2"}
    assert handled.missing("http://h/") == "the handler http://h/ is not there: connection refused"
    assert not handled.is_at_fault(at_last=True)
