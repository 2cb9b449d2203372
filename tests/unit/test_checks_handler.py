"""W1, and what it excuses others for: a dead register is the handler's only where its attempts say so too."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.handled import handled
from tests.unit.histories import Run, T

from squall.bus.ended import WORKERS_DIED
from squall.chaos.evidence.task import gather
from squall.chaos.tell.documents import judge
from squall.chaos.tell.trace import timeline
from squall.services.rules.blocking import HELD_S, STUCK_S
from squall.services.run.result import blamed_on_handler, exit_code

RAISES = """
def decide(task):
    if task.number == 1:
        raise LookupError("no quote")
    return {"account": "a", "symbol": "s", "n": task.number, "side": "buy", "quantity": 1, "price": 1.0}
"""
NO_PRICE = RAISES.replace('raise LookupError("no quote")', "return {'account': 'a'}")
FINE = RAISES.replace("task.number == 1", "False")


@pytest.fixture
def run_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """``run_of(source)``: a run in which task ``a-1`` alone is not ordinary."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def make(source: str = RAISES) -> Run:
        (tmp_path / "mine.py").write_text(source)
        return handled("mine:decide")

    yield make
    sys.modules.pop("mine", None)


def verdicts(run: Run, path: Path) -> dict[str, tuple[str, str]]:
    return {check.id: (check.verdict, check.detail) for check in judge(run.write(path / "run")).checks}


def told_lines(run: Run) -> list[dict[str, Any]]:
    return [row for row in run.rows if row["op"] == "handler"]


def register(run: Run) -> dict[str, Any]:
    return run.find("final", what="register", task="a-1")


def test_what_the_handler_failed_with_is_not_held_against_the_swarm(run_of: Any, tmp_path: Path) -> None:
    found = verdicts(run_of(), tmp_path)
    assert found["W1"][0] == "fail"
    assert found["W1"][1].startswith("The handler mine:decide failed 1 of 4 tasks: it raised LookupError")
    assert found["H5"] == (
        "pass",
        "1 task dead-lettered, each failed by its handler in every attempt that ended; "
        "the other 3 ended well.",
    )
    assert {check for check, (verdict, _) in found.items() if verdict == "fail"} == {"W1"}


def untold_last(run: Run) -> None:
    run.rows.remove(told_lines(run)[-1])


def untold_first(run: Run) -> None:
    run.rows.remove(told_lines(run)[0])


def untold(run: Run) -> None:
    for row in told_lines(run):
        run.rows.remove(row)


def otherwise_told(run: Run) -> None:
    register(run)["reason"] = "the handler raised ValueError: something else"
    run.find("final", what="dead-letter")["reason"] = register(run)["reason"]


def told_of_another(run: Run) -> None:
    for row in told_lines(run):
        row["task"] = "a-2"


def told_by_another(run: Run) -> None:
    register(run)["agent"] = run.find("final", what="dead-letter")["agent"] = "agent-2"


def given_up_early(run: Run) -> None:
    """As if a queue gave a task up after its first attempt, in a run where attempts may have been lost."""
    fault = {"kind": "pause", "target": "broker", "node": "broker", "verified": True}
    run.faults.append({**fault, "start_s": T + 5.0, "end_s": T + 5.5})
    run.rows.remove(told_lines(run)[-1])
    run.drop("run", task="a-1", attempt=2)
    run.drop("attempt", task="a-1")
    run.find("commit", task="a-1")["attempt"] = 1
    register(run)["attempt"] = run.find("final", what="dead-letter")["attempt"] = 1


def skipped_attempt(run: Run) -> None:
    """As if a queue counted one attempt as two."""
    run.rows.remove(told_lines(run)[0])
    run.drop("run", task="a-1", attempt=1)
    run.drop("attempt", task="a-1")


def forged_give_up(run: Run) -> None:
    untold(run)
    register(run)["reason"] = "the handler gave it up: no quote"


def of_the_built_in(run: Run) -> None:
    run.find("note")["handler"] = "squall.services.trading.strategies:decide"


def of_before(run: Run) -> None:
    del run.find("note")["handler"]


@pytest.mark.parametrize(
    "doctor",
    [
        untold_last,
        untold_first,
        untold,
        otherwise_told,
        told_of_another,
        told_by_another,
        given_up_early,
        skipped_attempt,
        forged_give_up,
        of_the_built_in,
        of_before,
    ],
)
def test_a_dead_register_whose_attempts_tell_another_story_is_the_swarms(
    run_of: Any, tmp_path: Path, doctor: Any
) -> None:
    run = run_of()
    doctor(run)
    found = verdicts(run, tmp_path)
    verdict, detail = found["H5"]
    assert verdict == "fail"
    assert "1 task dead-lettered, the first a-1: the handler " in detail
    assert found.get("W1", ("pass", ""))[0] == "pass"


def test_an_attempt_more_than_there_are_is_the_swarms(run_of: Any, tmp_path: Path) -> None:
    run = run_of()
    first = run.find("run", task="a-1")
    run.line(1.05, "agent-1", "run", "invoke", task="a-1", attempt=first["attempt"])
    run.line(1.06, "agent-1", "attempt", "fail", task="a-1", attempt=1, reason="again")
    assert "been begun more than 2 times: a-1" in verdicts(run, tmp_path)["H5"][1]


def cut_off(run: Run) -> Run:
    """The first attempt was at an agent that a fault ended; the second is the handler's."""
    run.rows.remove(told_lines(run)[0])
    run.drop("attempt", task="a-1")
    first = run.find("run", task="a-1", attempt=1)
    first["node"] = "agent-2"
    run.start(-1.0, "agent-2")
    run.start(1.9, "agent-2", 2)
    return run


def test_an_attempt_that_a_fault_cut_off_leaves_the_others_to_the_handler(
    run_of: Any, tmp_path: Path
) -> None:
    run = cut_off(run_of())
    fault = {"kind": "crash", "target": "any-agent", "node": "agent-2", "verified": True}
    run.faults.append({**fault, "start_s": T + 1.15, "end_s": T + 1.2})
    found = verdicts(run, tmp_path)
    assert (found["H5"][0], found["U1"][0], found["W1"][0]) == ("pass", "pass", "fail")


# What ends the process of an agent.


def killed(run: Run, *, status: int | None = 9, neighbour: bool = False, reason: str = "") -> Run:
    """Both attempts of the first task ended their agents; nobody lived to end it."""
    for row in [row for row in run.rows if row.get("task") == "a-1" and row["op"] in ("attempt", "commit")]:
        run.rows.remove(row)
    untold(run)
    for inc in (1, 2):
        run.find("run", task="a-1", attempt=inc).update(node="agent-2", inc=inc)
        run.start(inc - 2.0 if inc == 1 else 2.0, "agent-2", inc)
        if neighbour:
            run.line(1.0 + inc, "agent-2", "run", "invoke", inc, task="a-2", attempt=1)
        if status is not None:
            run.line(1.5 + inc, "squall", "ended", "ok", agent="agent-2", incarnation=inc, status=status)
        if reason:
            run.line(1.5 + inc, "squall", "killed", "ok", agent="agent-2", incarnation=inc, reason=reason)
    run.start(3.0, "agent-2", 3)
    said = {"reason": WORKERS_DIED, "attempt": 2, "agent": "agent-1"}
    register(run).update(said)
    letters = [row for row in run.rows if row.get("what") == "dead-letter"]
    for letter in letters:
        letter.update(said)
    return run


@pytest.mark.parametrize(
    ("facts", "how"),
    [
        ({"status": 9}, "it ended its agent's process with status 9"),
        ({"status": -11}, "it ended its agent's process with signal 11"),
        (
            {"status": -6, "reason": "its handler held up its loop for more than 7 s"},
            "it held up its loop for more than 7 s, and was ended; its log says where it stood",
        ),
    ],
)
def test_a_task_that_ends_whoever_runs_it_is_the_handlers(
    run_of: Any, tmp_path: Path, facts: Any, how: str
) -> None:
    found = verdicts(killed(run_of(), **facts), tmp_path)
    told = f"The handler mine:decide failed 1 of 4 tasks: {how} (1 task, the first a-1)."
    assert found["W1"][0] == "fail"
    assert found["W1"][1].startswith(told)
    assert (found["H5"][0], found["U1"][0]) == ("pass", "pass")


@pytest.mark.parametrize(
    "facts", [{"status": None}, {"status": -9}, {"status": 1}, {"status": 9, "neighbour": True}]
)
def test_who_was_ended_otherwise_or_not_alone_is_the_swarms(run_of: Any, tmp_path: Path, facts: Any) -> None:
    found = verdicts(killed(run_of(), **facts), tmp_path)
    assert (found["H5"][0], found["W1"][0]) == ("fail", "pass")


# What ends a run early.

ALWAYS = RAISES.replace("task.number == 1", "True")
SECOND = RAISES.replace("task.number == 1", "task.attempt == 1")
SAID = "the handler mine:decide has not ended task a-1 after 10 s"


def broken_off(run: Run, *, blamed: str = "") -> Run:
    """As the command leaves a run that it ends early: nothing was read back."""
    run.rows = [row for row in run.rows if row["op"] != "final"]
    if blamed:
        run.line(18.0, "squall", "blamed", "fail", reason=blamed)
    return run


def unended(run: Run) -> Run:
    """No attempt has come to an end, and each takes long."""
    run.rows = [row for row in run.rows if row["op"] not in ("handler", "attempt", "commit")]
    line = "mine.py:3 in decide: LOCK.acquire()"
    for seconds in (5.0, 10.0):
        run.line(1.0 + seconds, "agent-1", "running", "ok", task="a-1", attempt=1, line=line, seconds=seconds)
    return run


def away(run: Run) -> Run:
    """Nobody was there for any task."""
    run.rows = [row for row in run.rows if row["op"] not in ("run", "handler", "attempt", "commit")]
    for number in range(1, 5):
        missed(run, f"a-{number}", 3)
    return run


def early(run: Run) -> Run:
    """Some first attempts have failed, and nothing else has happened yet."""
    run.rows = [row for row in run.rows if row["op"] != "commit" and row.get("attempt") != 2]
    return run


def test_a_run_that_was_ended_for_its_handler_is_told_by_its_directory_as_by_the_command(
    run_of: Any, tmp_path: Path
) -> None:
    result = judge(broken_off(run_of(ALWAYS)).write(tmp_path / "run"))
    assert exit_code(result) == 1
    told = "The handler mine:decide raised LookupError: no quote, at mine.py:4 in decide (8 times)."
    assert blamed_on_handler(result) == told
    assert told in (tmp_path / "run" / "report.html").read_text()
    assert {check.id for check in result.checks if check.verdict == "fail"} == {"W1"}


def test_what_has_not_ended_is_the_task_to_trace(run_of: Any, tmp_path: Path) -> None:
    run = broken_off(unended(run_of(FINE)), blamed=SAID)
    line = "mine.py:3 in decide: LOCK.acquire()"
    run.line(19.0, "agent-1", "running", "ok", task="a-3", attempt=1, line=line, seconds=20.0)
    result = judge(run.write(tmp_path / "run"))
    assert [(check.id, check.task) for check in result.checks if check.task] == [("W1", "a-3")]
    assert "has not ended task a-3 after 20 s" in blamed_on_handler(result)


@pytest.mark.parametrize(
    ("doctor", "blamed", "verdict", "says"),
    [
        (lambda make: make(SECOND), "", "unknown", ""),
        (lambda make: make(FINE), "", "unknown", ""),
        (lambda make: make(NO_PRICE.replace("task.number == 1", "True")), "", "fail", "what is no order"),
        (lambda make: early(make(SECOND)), "", "unknown", ""),
        (lambda make: early(make(SECOND)), "it raised", "fail", "raised LookupError"),
        (lambda make: unended(make(FINE)), "", "unknown", ""),
        (lambda make: unended(make(FINE)), SAID, "fail", SAID.removeprefix("the ")),
        (lambda make: make(FINE), SAID, "unknown", ""),
        (lambda make: away(make(FINE)), "", "unknown", ""),
        (lambda make: away(make(FINE)), "it is not there", "fail", "is not there: connection refused"),
    ],
)
def test_a_run_that_broke_off_fails_by_what_is_there_and_by_no_word_of_the_command_alone(
    run_of: Any, tmp_path: Path, doctor: Any, blamed: str, verdict: str, says: str
) -> None:
    found = verdicts(broken_off(doctor(run_of), blamed=blamed), tmp_path)["W1"]
    assert found[0] == verdict, found[1]
    assert says in found[1]


# What holds up the loop of an agent.


def spent(run: Run, *, held_up: bool) -> Run:
    """Both attempts of the first task were delivered again before anybody was heard of."""
    run.spec["ack_wait_s"] = 1.0
    for row in [row for row in run.rows if row.get("task") == "a-1" and row["op"] in ("attempt", "commit")]:
        run.rows.remove(row)
    untold(run)
    run.find("run", task="a-1", attempt=1).update(time_s=T + 1.1)
    run.find("run", task="a-1", attempt=2).update(time_s=T + 2.2)
    said = {"reason": WORKERS_DIED, "attempt": 2, "agent": "agent-1", "time_s_stored": T + 3.3}
    register(run).update(said)
    for letter in (row for row in run.rows if row.get("what") == "dead-letter"):
        letter.update(said)
    if held_up:
        facts = {"at": "mine.py:3 in decide", "line": "mine.py:3 in decide: time.sleep(9)", "times": 1}
        run.line(3.4, "agent-1", "held-up", "ok", seconds=2.4, took_s=2.4, **facts)
    return run


@pytest.mark.parametrize(("held_up", "h5", "w1"), [(True, "pass", "fail"), (False, "fail", "pass")])
def test_a_task_whose_attempts_were_spent_while_its_agents_were_held_up_is_the_handlers(
    run_of: Any, tmp_path: Path, held_up: bool, h5: str, w1: str
) -> None:
    found = verdicts(spent(run_of(), held_up=held_up), tmp_path)
    assert (found["H5"][0], found["W1"][0]) == (h5, w1), found["H5"][1]
    assert ("held up its agents until all attempts were spent (1 task, the first a-1)" in found["W1"][1]) == (
        held_up
    )


def test_an_attempt_more_than_there_are_is_the_handlers_where_it_held_up_the_agent(
    run_of: Any, tmp_path: Path
) -> None:
    run = run_of()
    run.spec["ack_wait_s"] = 1.0
    run.start(-1.0, "agent-2")
    run.line(1.0, "agent-2", "run", "invoke", task="a-1", attempt=1)
    run.line(1.9, "agent-2", "commit", "fail", task="a-1", attempt=1, reason="already")
    assert verdicts(run, tmp_path)["H5"][0] == "fail"
    facts = {"at": "mine.py:3 in decide", "line": "mine.py:3 in decide: time.sleep(9)", "times": 1}
    run.line(1.9, "agent-2", "held-up", "ok", seconds=1.6, took_s=1.6, **facts)
    found = verdicts(run, tmp_path)
    assert (found["H5"][0], found["W1"][0]) == ("pass", "fail"), found["H5"][1]


def test_an_agent_that_its_handler_ended_once_has_a_reason_for_its_restart(
    run_of: Any, tmp_path: Path
) -> None:
    run = run_of(FINE)
    run.start(-1.0, "agent-2")
    run.line(1.0, "agent-2", "run", "invoke", task="a-1", attempt=1)
    run.start(1.05, "agent-2", 2)
    assert verdicts(run, tmp_path)["U1"][0] == "fail"
    run.line(1.01, "squall", "ended", "ok", agent="agent-2", incarnation=1, status=3)
    found = verdicts(run, tmp_path)
    assert (found["U1"][0], found["W1"][0]) == ("pass", "pass")
    assert "1 time it ended its agent's process with status 3" in found["W1"][1]


# What is no order.


def test_an_order_that_was_one_when_it_was_returned_is_spoilt_by_the_swarm(
    run_of: Any, tmp_path: Path
) -> None:
    run = run_of(NO_PRICE)
    found = verdicts(run, tmp_path)
    assert (found["H1"][0], found["W1"][0]) == ("pass", "fail")
    assert "1 refused with a reason, the first a-1-0" in found["H1"][1]
    untold(run)
    found = verdicts(run, tmp_path)
    assert (found["H1"][0], found["W1"][0]) == ("fail", "pass")
    assert "1 order has been refused, though its handler returned it as one: a-1-0" in found["H1"][1]
    of_before(run)
    found = verdicts(run, tmp_path)
    assert (found["H1"][0], "W1" in found) == ("pass", False)


# What is good to know.


LINE = "mine.py:3 in decide: time.sleep(0.8)"


def held_up(run: Run, *told: tuple[int, int, float]) -> Run:
    """A run whose handler held up its agent: which start of it, how often by then, for how long at most."""
    run.start(1.2, "agent-1", 2)
    for inc, times, seconds in told:
        facts = {"at": "mine.py:3 in decide", "line": LINE, "times": times, "seconds": seconds}
        run.line(1.5, "agent-1", "held-up", "ok", inc, **facts)
    return run


ONCE_EACH = ((1, 1, 0.5), (2, 1, 0.81))
NEVER_LONG = ((1, 64, HELD_S - 0.01), (2, 64, HELD_S - 0.01))


@pytest.mark.parametrize(
    ("told", "often"),
    [
        (ONCE_EACH, "2 times, for 0.81"),
        (NEVER_LONG, "128 times, for 0.49"),
        (((1, 1, 0.3),), "once, for 0.30"),
    ],
)
def test_what_may_be_a_first_call_or_is_short_passes_and_is_told(
    run_of: Any, tmp_path: Path, told: Any, often: str
) -> None:
    assert verdicts(held_up(run_of(FINE), *told), tmp_path)["W1"] == (
        "pass",
        f"The handler mine:decide was given 4 tasks: none failed; it held up its agents {often} s at most, "
        f"at {LINE}; make it a plain function, or await what takes long.",
    )


@pytest.mark.parametrize(
    ("told", "often"),
    [
        (((1, 1, 0.5), (1, 4, 0.81), (2, 2, 0.6)), "6 times, for 0.81"),
        (((1, 1, STUCK_S),), "once, for 5.00"),
    ],
)
def test_a_handler_that_blocks_its_loop_is_told_first_with_where_and_for_how_long(
    run_of: Any, tmp_path: Path, told: Any, often: str
) -> None:
    result = judge(held_up(run_of(FINE), *told).write(tmp_path / "run"))
    said = (
        f"The handler mine:decide held up its agents {often} s at most, at {LINE}; "
        "make it a plain function, or await what takes long."
    )
    assert (blamed_on_handler(result), exit_code(result)) == (said, 1)


def test_that_it_blocks_its_loop_is_told_beside_what_it_failed(run_of: Any, tmp_path: Path) -> None:
    verdict, detail = verdicts(held_up(run_of(), (1, 2, 0.6)), tmp_path)["W1"]
    assert verdict == "fail"
    assert detail.startswith("The handler mine:decide failed 1 of 4 tasks: it raised LookupError")
    assert f"It held up its agents 2 times, for 0.60 s at most, at {LINE}" in detail


def test_a_run_whose_handler_was_never_called_says_so(run_of: Any, tmp_path: Path) -> None:
    run = run_of()
    run.rows = [row for row in run.rows if row["op"] not in ("run", "attempt", "commit", "handler")]
    assert verdicts(run, tmp_path)["W1"] == ("unknown", "No task came to the handler.")


def test_a_trace_shows_the_handlers_own_frames(run_of: Any, tmp_path: Path) -> None:
    evidence = gather(run_of().write(tmp_path / "run"), "a-1")
    assert evidence is not None
    told = [moment for moment in timeline(evidence).moments if moment.what == "attempt 1 raised"]
    assert [moment.detail for moment in told] == [
        'LookupError: no quote; mine.py:4 in decide: raise LookupError("no quote")'
    ]


@pytest.mark.parametrize(
    ("source", "what", "detail"),
    [
        ("def decide(task): return None\n", "attempt 1 returned nothing", ""),
        ("def decide(task): return 'buy'\n", "attempt 1 returned", "this is the text 'buy'; "),
        ("def decide(task): return {1: {2}}.items\n", "attempt 1 returned", "cannot be written as JSON; "),
    ],
)
def test_a_trace_tells_where_the_handler_begins_that_raised_nothing(
    run_of: Any, tmp_path: Path, source: str, what: str, detail: str
) -> None:
    evidence = gather(run_of(source).write(tmp_path / "run"), "a-1")
    assert evidence is not None
    told = next(moment for moment in timeline(evidence).moments if moment.what == what)
    assert f"{detail}its handler begins at mine.py:1 in decide" in told.detail


@pytest.mark.parametrize(("held_s", "is_well"), [(STUCK_S, False), (HELD_S, True)])
def test_a_page_whose_run_failed_does_not_say_that_all_is_well(
    run_of: Any, tmp_path: Path, held_s: float, is_well: bool
) -> None:
    run = run_of(FINE)
    facts = {"at": "mine.py:3 in decide", "line": "mine.py:3 in decide: time.sleep(9)", "times": 1}
    run.line(9.0, "agent-1", "held-up", "ok", seconds=held_s, took_s=held_s, **facts)
    result = judge(run.write(tmp_path / "run"))
    page = (tmp_path / "run" / "report.html").read_text()
    assert (exit_code(result) != 1) == is_well == ("ended as it should, as far as is known." in page)
    assert ("No task was lost, refused or given up, as far as is known" in page) != is_well


def refuse_untold(run: Run) -> None:
    """As if nobody had written down why one of them was refused."""
    run.refusals.pop()
    run.drop("refuse", task="a-4")


@pytest.mark.parametrize(
    ("doctor", "h1", "h2"),
    [(lambda run: None, "pass", "pass"), (untold, "fail", "unknown"), (refuse_untold, "fail", "unknown")],
)
def test_where_all_was_refused_it_is_decided_only_if_each_was_no_order_and_has_its_reason(
    run_of: Any, tmp_path: Path, doctor: Any, h1: str, h2: str
) -> None:
    run = run_of(NO_PRICE.replace("task.number == 1", "True"))
    doctor(run)
    found = verdicts(run, tmp_path)
    assert (found["H1"][0], found["H2"][0]) == (h1, h2), found["H1"][1]


def hold_up(run: Run, over_s: float, took_s: float | None, node: str = "agent-1", inc: int = 1) -> None:
    facts: dict[str, Any] = {"at": "mine.py:3 in decide", "line": "mine.py:3 in decide: time.sleep(9)"}
    facts |= {"times": 2, "seconds": 3.0} | ({} if took_s is None else {"took_s": took_s})
    run.line(over_s, node, "held-up", "ok", inc, **facts)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([(1.7, 0.9)], ["by its handler for 0.90 s"]),
        ([(1.3, 0.5), (1.5, 0.7), (1.7, 0.9)], ["by its handler for 0.90 s"]),
        ([(1.5, 0.7), (2.1, 0.5)], ["by its handler for 0.70 s", "by its handler for 0.50 s"]),
        ([(1.7, None)], ["by its handler 2 times by then, for 3.00 s at most"]),
        ([(1.0, 0.5)], []),
        ([(4.0, 1.0)], []),
        ([(1.7, 0.9, "agent-2")], []),
        ([(1.7, 0.9, "agent-1", 2)], []),
    ],
)
def test_a_trace_tells_when_the_agent_was_held_up_during_the_attempt(
    run_of: Any, tmp_path: Path, lines: Any, told: list[str]
) -> None:
    run = run_of(FINE)
    run.find("commit", task="a-1")["time_s"] = T + 2.5
    for line in lines:
        hold_up(run, *line)
    evidence = gather(run.write(tmp_path / "run"), "a-1")
    assert evidence is not None
    moments = [moment.detail for moment in timeline(evidence).moments if moment.what == "held up"]
    assert moments == [f"{said}, at mine.py:3 in decide: time.sleep(9)" for said in told]


def test_an_attempt_that_could_not_be_counted_is_told_without_the_brokers_own_subjects(
    run_of: Any, tmp_path: Path
) -> None:
    run = run_of(FINE)
    reason = "no answer from $JS.API.DIRECT.GET.squall_TRY.squall.try.work.x.a-1 within 20 s"
    run.line(1.9, "agent-1", "attempt", "unknown", task="a-1", reason=reason)
    evidence = gather(run.write(tmp_path / "run"), "a-1")
    assert evidence is not None
    told = next(moment for moment in timeline(evidence).moments if moment.what == "attempt not counted")
    assert told.detail == (
        "not run, as nobody knew which attempt it was: no answer from the broker within 20 s"
    )


# It was not there.

AWAY = "connection refused"


def missed(run: Run, task: str, times: int) -> None:
    """As many looks for the handler as no task has attempts, before it came."""
    for place in range(times):
        at_s = 0.92 + place / 1000
        run.line(at_s, "agent-1", "run", "invoke", task=task, attempt=1)
        run.line(at_s, "agent-1", "absent", "fail", task=task, attempt=1, reason=AWAY)


def test_a_handler_that_was_not_there_used_up_no_attempt_and_is_told_of(run_of: Any, tmp_path: Path) -> None:
    run = run_of(FINE)
    missed(run, "a-2", 6)
    found = verdicts(run, tmp_path)
    assert [check for check, (verdict, _) in found.items() if verdict == "fail"] == []
    assert f"6 times it was not there, and no attempt was used up: {AWAY}" in found["W1"][1]
    told = timeline(gather(tmp_path / "run", "a-2")).moments
    assert [(moment.what, moment.detail) for moment in told if "not made" in moment.what][-1] == (
        "attempt 1 not made",
        AWAY,
    )


def test_a_task_that_waited_for_it_in_vain_is_its_own_doing(run_of: Any, tmp_path: Path) -> None:
    run = run_of(FINE)
    for op in ("run", "commit"):
        run.drop(op, task="a-2")
    run.drop("final", what="register", task="a-2")
    missed(run, "a-2", 6)
    verdict, detail = verdicts(run, tmp_path)["W1"]
    assert verdict == "fail"
    assert detail.startswith(f"The handler mine:decide was not there for 1 task, the first a-2: {AWAY}")
