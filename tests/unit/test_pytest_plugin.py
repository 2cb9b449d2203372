"""By what a test fails that asks for a swarm, and what is told of it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, NoReturn

import pytest

from squall.bus.tasks import task_group
from squall.chaos.evidence.facts import Asked, Injected, Register
from squall.chaos.evidence.model import History
from squall.chaos.testing.conduct import in_own_loop
from squall.chaos.testing.failures import Whereabouts, complaints, struck_nothing
from squall.chaos.testing.faults import Faults
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.result import Check, Result, Verdict

GOOD: dict[str, Verdict] = {"H1": "pass", "H2": "pass", "H4": "unknown", "H5": "pass", "U1": "pass"}


def judged(verdicts: dict[str, Verdict]) -> Result:
    checks = [Check(id=i, name=i.lower(), verdict=v, detail=f"{i} says {v}") for i, v in verdicts.items()]
    absent: dict[str, Any] = dict.fromkeys(Result.__struct_fields__)
    return Result(**{**absent, "pattern": "hierarchical", "checks": tuple(checks)})


@pytest.mark.parametrize(
    ("verdicts", "excused", "complained"),
    [
        (GOOD, (), ""),
        ({**GOOD, "H4": "fail"}, (), "H4"),
        ({**GOOD, "H2": "unknown"}, (), "H2"),
        ({**GOOD, "H5": "unknown"}, (), "H5"),
        ({**GOOD, "U1": "fail"}, (), "U1"),
        ({**GOOD, "U1": "fail"}, ("U1",), ""),
        ({**GOOD, "H5": "unknown"}, ("H5",), ""),
        ({**GOOD, "H5": "unknown", "H1": "fail"}, ("H5",), "H1"),
        ({"V0": "unknown"}, (), "V0"),
        ({"M1": "unknown", "H1": "pass"}, (), "M1"),
        ({"H4": "unknown"}, (), "no check passed"),
        ({"H1": "pass"}, ("H1",), "no check passed"),
        ({}, (), "no check passed"),
    ],
)
def test_what_fails_or_cannot_say_fails_the_test_unless_the_test_says_otherwise(
    verdicts: dict[str, Verdict], excused: tuple[str, ...], complained: str
) -> None:
    said = complaints(judged(verdicts), excused)
    assert len(said) == bool(complained), said
    assert complained in "".join(said)


def test_what_the_handler_did_wrong_is_told_first() -> None:
    said = complaints(judged({**GOOD, "H1": "fail", "W1": "fail"}), ())
    assert [line[:2] for line in said] == ["W1", "H1"]


# Faults that are asked for.


def faults() -> Faults:
    def not_running() -> NoReturn:
        raise AssertionError("it does not run")

    return Faults(HierarchicalSpec(), not_running)


def test_a_fault_that_is_never_entered_is_told_with_its_line_and_its_remedy() -> None:
    nemesis = faults()
    nemesis.blackhole("leader")
    line = sys._getframe().f_lineno - 1
    nemesis.strike("one-way-up", "gateway", lease_s=3.0)
    first, second = nemesis.forgotten()
    assert first == (
        f"nemesis.blackhole('leader') at {__file__}:{line} was never in force; "
        "write: async with nemesis.blackhole('leader'): …"
    )
    assert second.startswith("nemesis.one_way_up('gateway', ")


@pytest.mark.anyio
async def test_a_fault_that_was_entered_is_not_forgotten() -> None:
    nemesis = faults()
    with pytest.raises(AssertionError, match="it does not run"):
        async with nemesis.crash("leader"):
            pass
    assert nemesis.forgotten() == []


def test_what_no_fault_is_named_is_no_attribute() -> None:
    assert not hasattr(faults(), "_network")
    assert not hasattr(faults(), "__wrapped__")


FILLED_S = 1000.0


@pytest.mark.parametrize(("start_s", "said"), [(FILLED_S - 1, 0), (FILLED_S + 1, 1)])
def test_a_fault_when_all_has_ended_shows_nothing(start_s: float, said: int) -> None:
    register = Register(task="t", key="k", job="j", status="ok", stored_s=FILLED_S)
    struck = Injected(kind="crash", target="leader", start_s=start_s)
    told = struck_nothing(History(registers=(register,), faults=(struck,), asked=Asked(tasks=100)))
    assert len(told) == said
    assert all("crash of leader" in line and "all 100 tasks" in line for line in told)


def test_a_failure_says_where_its_run_is_and_what_repeats_it() -> None:
    where = Whereabouts(
        run=Path("/tmp/a run"), test="test_mine.py::test_it[a b]", options=["--randomly-seed=3"], seed=7
    )
    assert where.lines("j-1-t-2") == [
        "the run     /tmp/a run",
        "again       uv run pytest 'test_mine.py::test_it[a b]' --randomly-seed=3  # seed 7",
        "its page    uv run squall report '/tmp/a run'",
        "one task    uv run squall trace j-1-t-2 --run '/tmp/a run'",
    ]
    assert where.lines() == where.lines("j-1-t-2")[:-1]


# An event loop of its own.


def times_out() -> None:
    pytest.fail("Timeout (>1.0s)")


async def in_a_callback() -> None:
    asyncio.get_running_loop().call_soon(times_out)
    await asyncio.Event().wait()


async def in_a_task() -> None:
    async with task_group() as tasks:

        async def later() -> None:
            times_out()

        tasks.start(later())
        await asyncio.Event().wait()


async def in_a_signal() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    await asyncio.Event().wait()


@pytest.mark.parametrize("work", [in_a_callback, in_a_task, in_a_signal])
def test_a_time_out_ends_what_runs_wherever_it_strikes(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    cleaned = []

    async def cleans() -> None:
        try:
            await work()
        finally:
            cleaned.append(True)

    def on_alarm(number: int, frame: object) -> None:
        times_out()

    left_s, before = signal.setitimer(signal.ITIMER_REAL, 0)[0], signal.signal(signal.SIGALRM, on_alarm)
    try:
        with pytest.raises(pytest.fail.Exception, match="Timeout"):
            in_own_loop(cleans())
    finally:
        signal.signal(signal.SIGALRM, before)
        signal.setitimer(signal.ITIMER_REAL, left_s)  # of the time-out that this test has itself
    assert cleaned == [True]


def test_the_loop_of_somebody_else_stays_the_threads() -> None:
    theirs = asyncio.new_event_loop()
    policy = asyncio.get_event_loop_policy()
    policy.set_event_loop(theirs)
    try:
        in_own_loop(asyncio.sleep(0))
        assert policy.get_event_loop() is theirs
    finally:
        policy.set_event_loop(None)
        theirs.close()
