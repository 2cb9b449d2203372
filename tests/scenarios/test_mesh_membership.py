"""Members leave and join under load, and whoever writes that down dies between any two steps of a change."""

from __future__ import annotations

import asyncio
import itertools
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from squall.bus.errors import BusError
from squall.chaos.cli.setup import spec_of
from squall.chaos.inject.experiment import experiment
from squall.chaos.inject.nemesis import Nemesis
from squall.chaos.judge.checks.mesh import OPEN_S
from squall.chaos.judge.checks.vote_log import recount
from squall.chaos.tell.documents import history_of, judge
from squall.services.errors import LaunchError
from squall.services.run.directory import claim
from squall.services.run.swarm import Swarm

pytestmark = [
    pytest.mark.nats,
    pytest.mark.toxiproxy,
    pytest.mark.slow,
    pytest.mark.everything,
    pytest.mark.timeout(300),
]

CHANGES = 50
KILLED_AT = ("registrar.asked", "registrar.written")
"""An epoch is asked for, and nobody knows whether it is stored; it is stored, and nobody was told so."""

EACH_POINT = 3
FROZEN_S = 8.0
"""Longer than one that does not answer is waited for."""

OWN = ("M1", "M2", "M4", "M5", "M6", "E1")


async def change(swarm: Swarm, agent: str, *, member: bool) -> None:
    """Have it done, however often it has to be asked for."""
    while True:
        try:
            await swarm.enrol(agent, member=member)
            return
        except (BusError, LaunchError):
            await asyncio.sleep(0.2)


async def come_and_go(nemesis: Nemesis) -> None:
    """Each agent in turn leaves and joins, while the registrar is killed again and again over it."""
    swarm, killed = nemesis._swarm, asyncio.Event()

    async def kill() -> None:
        for point in KILLED_AT * EACH_POINT:
            async with nemesis.strike("crash", "registrar", point=point) as strike:
                assert strike.verified
        killed.set()

    killing = asyncio.create_task(kill())
    agents = itertools.cycle(f"agent-{number}" for number in range(1, swarm.spec.agents + 1))
    changes = 0
    while changes < CHANGES or not (killed.is_set() or killing.done()):
        agent = next(agents)
        await change(swarm, agent, member=False)
        await change(swarm, agent, member=True)
        changes += 2
    await killing


def test_a_file_says_when_peers_join_and_leave(squall_run: Any) -> None:
    spec = {"pattern": "mesh", "agents": 3, "tasks": 300, "rate_per_s": 30, "strike_peers": False}
    run = squall_run({**spec, "joins_at_s": [1.0, 3.0], "leaves_at_s": [5.0]})
    document = run.end()
    verdicts = {check["id"]: check["verdict"] for check in document["checks"]}
    assert {check: verdicts[check] for check in OWN} == dict.fromkeys(OWN, "pass"), document["checks"]
    epochs = [line for line in run.lines("final") if line["what"] == "epoch"]
    members = [[member["name"] for member in line["members"]] for line in epochs]
    assert [len(names) for names in members] == [3, 4, 5, 4]
    assert members[-1] == ["agent-1", "agent-2", "agent-3", "agent-4"]
    votes = {line["agent"] for line in run.lines("final") if line["what"] == "vote"}
    assert "agent-4" in votes


async def join_and_be_missed(nemesis: Nemesis) -> None:
    """One more joins, and does not answer for longer than it takes to be suspect."""
    swarm = nemesis._swarm
    unit = swarm.units.get(await swarm.add("agent"))
    assert unit is not None
    assert await swarm.launcher.freeze(unit)
    try:
        await asyncio.sleep(FROZEN_S)
    finally:
        assert await swarm.launcher.thaw(unit)
    await asyncio.sleep(FROZEN_S)  # until all have heard that it is back


def test_who_joins_a_partial_mesh_is_missed_over_its_links_once_it_is_silent(tmp_path: Path) -> None:
    first = {"agent-1", "agent-2", "agent-3", "agent-4"}
    asked = {"agents": len(first), "neighbours": 2, "tasks": 600, "rate_per_s": 30.0}
    spec = msgspec.structs.replace(spec_of("mesh"), **asked)
    with claim(spec, tmp_path / "run") as directory:
        asyncio.run(experiment(spec, directory, join_and_be_missed, progress=lambda step: None, steady_s=2.0))
    verdicts = {check.id: check.verdict for check in judge(tmp_path / "run").checks}
    assert {check: verdicts[check] for check in OWN} == dict.fromkeys(OWN, "pass")
    lines = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").read_bytes().splitlines()]
    told = [line for line in lines if line["op"] == "presence" and line["agent"] == "agent-5"]
    # Two have links with it and find out; from them all others hear of it, and hear that it is back.
    assert {line["node"] for line in told if line["standing"] == "suspect"} == first
    newest = {line["node"]: line["standing"] for line in told if line["node"] in first}
    assert newest == dict.fromkeys(first, "alive")


def test_epochs_never_mix_however_often_they_change_and_who_dies_over_it(tmp_path: Path) -> None:
    spec = spec_of("mesh")
    with claim(spec, tmp_path / "run") as directory:
        asyncio.run(experiment(spec, directory, come_and_go, progress=lambda step: None, steady_s=2.0))
    verdicts = {check.id: check.verdict for check in judge(tmp_path / "run").checks}
    held = ("M1", "M2", "M4", "M5", "M6", "E1", "L1", "U1")
    assert {check: verdicts[check] for check in held} == dict.fromkeys(held, "pass")
    history = history_of(tmp_path / "run")
    struck = [fault.point for fault in history.faults]
    assert struck == [*KILLED_AT] * EACH_POINT
    found = recount(history)
    assert [epoch.number for epoch in found.epochs] == [*range(1, len(found.epochs) + 1)]
    assert len(found.epochs) > CHANGES
    crossed = [r for r in found.every if any(r.proposal.seq < epoch.seq < r.at for epoch in found.epochs)]
    assert crossed, "no proposal was open across a change"
    changed_s = max(fault.healed_s or 0.0 for fault in history.faults)
    late = [r for r in crossed if r.at_s - max(changed_s, r.proposal.stored_s) > OPEN_S]
    assert late == []
