"""Peers that are cut off from each other: without a quorum nothing is decided, and once healed all is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from squall.chaos.cli.setup import spec_of
from squall.chaos.evidence.facts import Injected
from squall.chaos.evidence.model import History
from squall.chaos.inject.experiment import carry_out, experiment
from squall.chaos.judge.checks.mesh import OPEN_S, PROMISES
from squall.chaos.judge.checks.minority import CUT_S
from squall.chaos.judge.checks.vote_log import VoteRead, recount
from squall.chaos.judge.votes import Ruling
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.tell.documents import history_of, judge
from squall.services.run.directory import claim

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow]

CUT_FOR_S = 2.5
SIDES = (("agent-1", "agent-2"), ("agent-3", "agent-4"), ("agent-1", "agent-2", "agent-3", "agent-4"))
"""Two of four are cut off from the broker, then the other two, then both sides at once."""


def cut(node: str, at_s: float) -> Interval:
    return Interval(fault="blackhole-nofin", target=node, at_s=at_s, for_s=CUT_FOR_S)


def decided_in(history: History, since_s: float, until_s: float) -> list[Ruling]:
    """Proposals that were made, and approved or rejected, within a time."""
    return [
        ruling
        for ruling in recount(history).every
        if ruling.outcome in ("approve", "reject")
        and since_s < ruling.proposal.stored_s <= ruling.at_s < until_s
    ]


def together(cuts: Sequence[Injected]) -> tuple[float, float]:
    """While all of these were in force."""
    return max(f.start_s for f in cuts) + CUT_S, min(f.held_s or 0.0 for f in cuts)


@pytest.mark.everything
def test_four_that_are_cut_two_from_two_decide_nothing_until_they_are_healed(tmp_path: Path) -> None:
    spec = msgspec.structs.replace(spec_of("mesh"), agents=4)
    intervals = tuple(cut(node, 7.0 * number) for number, side in enumerate(SIDES) for node in side)
    schedule = Schedule(seed=spec.seed, intervals=intervals)

    with claim(spec, tmp_path / "run") as directory:
        asyncio.run(
            experiment(spec, directory, carry_out(schedule), progress=lambda step: None, steady_s=2.0)
        )
    result = judge(tmp_path / "run")
    assert {
        check.id: check.verdict for check in result.checks if check.id in ("M1", "M2", "M3", "M4", "M5")
    } == {
        "M1": "pass",
        "M2": "pass",
        "M3": "pass",
        "M4": "pass",
        "M5": "pass",
    }, result.checks
    history = history_of(tmp_path / "run")
    faults = sorted(history.faults, key=lambda fault: fault.start_s)
    for side in SIDES:
        cuts, faults = faults[: len(side)], faults[len(side) :]
        assert sorted(fault.node or "" for fault in cuts) == sorted(side)
        since_s, until_s = together(cuts)
        assert until_s - since_s > spec.deadline_s, "nothing could have been decided anyway"
        assert decided_in(history, since_s, until_s) == []
    healed_s = max(fault.healed_s or 0.0 for fault in history.faults)
    every = recount(history).every
    assert {ruling.outcome for ruling in every} == {"approve", "abort"}
    assert max(ruling.at_s for ruling in every if ruling.proposal.stored_s < healed_s) < healed_s + OPEN_S


@pytest.fixture(scope="module")
def members(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a series' run in which members come and go, and are cut off."""
    (plan,) = (plan for plan in PROMISES.runs(spec_of("mesh"), 1) if plan.name == "members")
    path = tmp_path_factory.mktemp("mesh") / plan.name
    with claim(plan.spec, path) as directory:
        carried_out = carry_out(plan.schedule)
        asyncio.run(experiment(plan.spec, directory, carried_out, progress=lambda step: None, steady_s=3.0))
    return path


def test_what_is_promised_holds_while_members_come_and_go_and_are_cut_off(members: Path) -> None:
    result = judge(members)
    assert [fault.verified for fault in result.faults] == [True] * len(result.faults)
    verdicts = {check.id: check.verdict for check in result.checks}
    held = ("M1", "M2", "M3", "M4", "M5", "M6", "E1", "L1", "U2")
    assert {check: verdicts[check] for check in held} == dict.fromkeys(held, "pass"), result.checks
    assert "fail" not in verdicts.values()


def test_three_of_five_go_on_while_two_are_cut_off_and_decide_nothing(members: Path) -> None:
    history = history_of(members)
    cuts = [f for f in history.faults if (f.kind, f.target) == ("blackhole-nofin", "minority")]
    assert len(cuts) == 2
    since_s, until_s = together(cuts)
    # On a slow machine those who had left before may come back while others are cut off.
    made = [r.proposal for r in recount(history).every if since_s < r.proposal.stored_s < until_s]
    last = max(proposal.seq for proposal in made)
    epoch = max((e for e in recount(history).epochs if e.seq < last), key=lambda epoch: epoch.number)
    since_s = min(proposal.stored_s for proposal in made if proposal.seq > epoch.seq)
    decided = decided_in(history, since_s, until_s)
    rate_per_s = float(str(history.spec["rate_per_s"]))
    away = {fault.node for fault in cuts}
    if len(epoch.keys.keys() - away) >= epoch.needed:
        assert len(decided) > 0.5 * rate_per_s * (until_s - since_s) - 1
    else:
        assert not decided
    assert not [ruling for ruling in decided if away & {*ruling.yes}]
    assert not [
        vote for vote in history.of(VoteRead) if vote.agent in away and since_s < vote.stored_s < until_s
    ]
