"""A node joins a swarm that is at work, and leaves it, and nothing is lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from squall.bus.tasks import wait_until
from squall.services.errors import SpecError
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.run.loaded import Run

pytestmark = [pytest.mark.nats, pytest.mark.slow]

SPEC = HierarchicalSpec(agents=2, tasks=1200, rate_per_s=72.0, pause_leader=False)
SHARE = 100
"""Tasks that the node which joins must have worked on before it leaves."""


def lines(run: Path, file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / file).read_bytes().splitlines()]


def committed(run: Path) -> Counter[str]:
    """How many registers each node has written."""
    found = lines(run, "history.jsonl")
    return Counter(line["node"] for line in found if (line["op"], line["type"]) == ("commit", "ok"))


async def joins_and_leaves(run: Run) -> None:
    swarm, path = run.swarm, run.directory.path
    await run.steady()
    assert await swarm.add("agent") == "agent-3"
    assert swarm.of_role("agent") == ["agent-1", "agent-2", "agent-3"]

    async def share() -> int:
        return committed(path)["agent-3"]

    await wait_until(share, lambda n: n >= SHARE, timeout_s=30, what="its share of the work", every_s=0.3)
    await swarm.remove("agent-3")
    assert "agent-3" not in swarm.units
    assert swarm.of_role("agent") == ["agent-1", "agent-2"]
    own = swarm.own_broker
    done, ended = await share(), await swarm.ended()

    async def others_go_on() -> int:
        return await swarm.ended() - ended

    await wait_until(others_go_on, lambda n: n > SHARE, timeout_s=30, what="the others to go on")
    assert await share() == done
    assert own.incarnation == 1, "the broker did not have to be started anew"
    assert await swarm.add("agent") == "agent-4", "a name is not given twice"
    with pytest.raises(SpecError, match="no node of role 'venue' can join"):
        await swarm.add("venue")


Attacked = Callable[[HierarchicalSpec, Callable[[Run], Awaitable[None]]], Any]


@pytest.mark.parametrize("distribution", ["pull", pytest.param("round-robin", marks=pytest.mark.everything)])
def test_an_agent_joins_takes_work_and_leaves_and_nothing_is_lost(
    distribution: Any, run_against: Attacked, oracle_of: Any, tmp_path: Path
) -> None:
    result, ledger = run_against(replace(SPEC, distribution=distribution), joins_and_leaves)
    assert (result.accepted, result.lost, result.duplicated, result.dead_letters) == (SPEC.tasks, 0, 0, 0)
    assert {check.verdict for check in result.checks if check.id != "H4"} == {"pass"}, "nobody failed over"
    assert ledger == oracle_of(SPEC)
    starts = [(line["node"], line["incarnation"]) for line in lines(tmp_path / "run", "nodes.jsonl")]
    assert {start for start in starts if "agent" in start[0]} == {(f"agent-{n}", 1) for n in (1, 2, 3, 4)}
    history = lines(tmp_path / "run", "history.jsonl")
    assert [(line["op"], line["agent"]) for line in history if line["op"] in ("join", "leave")] == [
        ("join", "agent-3"),
        ("leave", "agent-3"),
        ("join", "agent-4"),
    ]
