"""Hubs are killed, hand over, stand still, and are all lost: one run, looked at from several sides."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from squall.chaos.cli.setup import spec_of
from squall.chaos.evidence.model import History
from squall.chaos.inject import schedule_file
from squall.chaos.inject.experiment import carry_out, experiment
from squall.chaos.judge.checks.hub_log import Decided, Requested
from squall.chaos.judge.checks.hub_loss import Degraded
from squall.chaos.judge.checks.star import without_hubs
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.tell.documents import history_of, judge
from squall.services.run.directory import claim
from squall.services.run.result import Result

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow, pytest.mark.timeout(300)]

BENCH = Path(__file__).parents[2] / "chaos" / "bench" / "hub_failover.py"
LATER_S = 12.0
INTERVALS = (
    Interval(fault="crash", target="leader", at_s=0.2),
    Interval(fault="hand-over", target="leader", at_s=4.0),
    Interval(fault="pause", target="leader", at_s=7.0, for_s=2.5),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run in which all of it happens."""
    spec = spec_of("star")
    lost = (
        Interval(fault=each.fault, target=each.target, at_s=each.at_s + LATER_S, for_s=each.for_s)
        for each in without_hubs(spec.lease_s)
    )
    schedule = Schedule(seed=1, quiet_s=LATER_S + 10.0, intervals=(*INTERVALS, *lost))
    path = tmp_path_factory.mktemp("failover") / "run"
    with claim(spec, path) as directory:
        checked = schedule_file.checked(schedule, spec)
        asyncio.run(experiment(spec, directory, carry_out(checked), progress=lambda text: None))
    return path


@pytest.fixture(scope="module")
def result(run: Path) -> Result:
    return judge(run)


@pytest.fixture(scope="module")
def history(run: Path) -> History:
    return history_of(run)


@pytest.mark.parametrize("check", ["S1", "S2", "S3", "S4", "S5", "S6", "E1", "L1", "U1"])
def test_a_promise_holds(check: str, result: Result) -> None:
    found = next(each for each in result.checks if each.id == check)
    assert found.verdict == "pass", found.detail


def test_every_fault_was_in_force(result: Result) -> None:
    assert result.faults
    assert all(fault.verified for fault in result.faults)


def test_everybody_who_hears_a_hub_was_degraded_and_is_not_any_more(history: History) -> None:
    listening = {node.node for node in history.nodes if node.role in ("agent", "gateway")}
    for what in ("begin", "end"):
        assert {line.node for line in history.of(Degraded) if line.what == what} == listening


def test_what_was_asked_for_without_a_hub_was_decided_as_a_reduction(history: History) -> None:
    asked = {request.seq for request in history.of(Requested) if request.reduce_only}
    decided = [made for made in history.of(Decided) if made.request in asked]
    assert asked
    assert len(decided) == len(asked)
    assert all(made.reduces for made in decided)


@pytest.mark.everything
@pytest.mark.timeout(600)
def test_twenty_kills_are_followed_within_the_bound() -> None:
    ended = subprocess.run(
        [sys.executable, BENCH, "--kills", "20", "--json"], capture_output=True, check=True, timeout=580
    )
    found = json.loads(ended.stdout)
    assert found["verified"] == found["kills"] == 20
    assert found["timed"] >= 18
    assert found["p99_s"] <= found["bound_s"]
    assert (found["lost"], found["duplicated"], found["failed"]) == (0, 0, [])
