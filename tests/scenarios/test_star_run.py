"""A star from start to end: hubs are paused, killed, all away; every decision is what the log makes of it."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from squall.bus.tasks import wait_until
from squall.chaos.judge.replay import Expected, Requested, decisions, ledger
from squall.services.patterns.star import StarSpec
from squall.services.run.loaded import Run

pytestmark = [pytest.mark.nats]

SPEC = StarSpec(pattern="star", tasks=1500, rate_per_s=300, exposure_max=300, pause_leader=False)
LATE_S = 2.0
"""What a loaded machine may add to a bound."""


def lines(run: Path) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in (run / "history.jsonl").read_bytes().splitlines()]


def finals(run: Path, what: str) -> list[dict[str, Any]]:
    return [line for line in lines(run) if line["op"] == "final" and line["what"] == what]


def effects(line: dict[str, Any]) -> tuple[bytes, ...]:
    return tuple(map(base64.b64decode, line["effects"]))


def replayed(run: Path, bound: int) -> list[Expected]:
    """The decisions that the requests in the hub's log come to."""
    requests = [
        Requested(at["seq"], at["task"], at["status"] == "ok", effects(at), at["reduce_only"])
        for at in finals(run, "request")
    ]
    return list(decisions(requests, bound=bound))


def assert_as_replayed(run: Path, bound: int, filled: list[Any]) -> list[dict[str, Any]]:
    """See that the log's decisions are those of its requests, and the ledger that of the decisions."""
    expected, made = replayed(run, bound), finals(run, "decision")
    assert [(at["request"], at["task"], at["reduces"]) for at in made] == [
        (due.request, due.task, due.reduces) for due in expected
    ]
    assert all(due.allows(effects(at)) for at, due in zip(made, expected, strict=True))
    assert filled == ledger(expected)
    return made


def test_a_run_pauses_its_hub_and_comes_to_the_ledger_of_its_own_log(squall_run: Any) -> None:
    run = squall_run({"pattern": "star", "tasks": 1200, "rate_per_s": 400, "exposure_max": 300})
    run.wait_for(lambda: "producer" in run.nodes(), "a producer")
    roles = sorted(node["role"] for node in run.nodes().values())
    assert roles == sorted(["broker", "venue", "producer", "gateway"] + ["hub"] * 2 + ["agent"] * 6)
    document = run.end()
    assert (document["offered"], document["accepted"], document["effects"]) == (1200, 1200, 1200)
    assert (document["lost"], document["duplicated"], document["conflicting"]) == (0, 0, 0)
    made = assert_as_replayed(run.path, 300, run.ledger())
    assert sum(bool(at["denied"]) for at in made) > 0
    paused, following = finals(run.path, "term")
    assert paused["holder"] != following["holder"]
    assert paused["seq"] < following["seq"]
    assert all(at["term"] == paused["seq"] for at in made if at["seq"] < following["seq"])
    assert all(at["term"] == following["seq"] for at in made if at["seq"] > following["seq"])
    refused = [line for line in run.lines("command") if line["type"] == "fail"]
    assert {line["term"] for line in refused} == {paused["seq"]}
    assert run.lines("fenced")


def test_a_hub_that_is_killed_is_followed_and_nothing_is_lost_or_decided_twice(
    run_against: Any, tmp_path: Path
) -> None:
    async def kill(run: Run) -> None:
        await run.steady()
        for _ in range(2):
            held = await run.swarm.leader()
            assert held is not None
            await run.swarm.launcher.kill(run.swarm.units[held[0]])

            async def following(term: int = held[1]) -> bool:
                newer = await run.swarm.leader()
                return newer is not None and newer[1] > term

            await wait_until(following, bool, timeout_s=30, what="the next leader")

    result, filled = run_against(SPEC, kill)
    assert (result.accepted, result.lost, result.duplicated) == (1500, 0, 0)
    assert_as_replayed(tmp_path / "run", SPEC.exposure_max, filled)
    assert len(finals(tmp_path / "run", "term")) == 3


def test_without_a_hub_spokes_and_gateway_degrade_and_return_in_time(
    run_against: Any, tmp_path: Path
) -> None:
    spec = msgspec.structs.replace(SPEC, tasks=2400, rate_per_s=200.0)  # the load outlasts the silence
    moments: dict[str, float] = {}

    async def silence(run: Run) -> None:
        await run.steady()
        hubs = [run.swarm.units[name] for name in run.swarm.of_role("hub")]
        moments["silent"] = time.time()
        for unit in hubs:
            assert await run.swarm.launcher.freeze(unit)
        await asyncio.sleep(4 * SPEC.lease_s)
        moments["awake"] = time.time()
        for unit in hubs:
            assert await run.swarm.launcher.thaw(unit)

    result, filled = run_against(spec, silence)
    assert (result.accepted, result.lost, result.duplicated) == (2400, 0, 0)
    path = tmp_path / "run"
    made = assert_as_replayed(path, SPEC.exposure_max, filled)
    told = [line for line in lines(path) if line["op"] == "degraded" and line["time_s"] > moments["silent"]]
    begun = {line["node"]: line["time_s"] - moments["silent"] for line in told if line["what"] == "begin"}
    ended = {line["node"]: line["time_s"] - moments["awake"] for line in told if line["what"] == "end"}
    assert set(begun) == set(ended) == {"gateway", *(f"agent-{number}" for number in range(1, 7))}
    assert max(begun.values()) <= 2 * SPEC.lease_s + 1 + LATE_S
    assert max(ended.values()) <= 2.0 + LATE_S
    asked = {at["seq"]: at for at in finals(path, "request")}
    reduced = [at for at in made if asked[at["request"]]["reduce_only"]]
    assert reduced
    assert all(at["reduces"] for at in reduced)


def test_a_run_of_which_most_is_refused_does_not_wait_for_what_will_not_come(squall_run: Any) -> None:
    spec = {"pattern": "star", "tasks": 200, "rate_per_s": 2000, "ingress_max": 10, "patience_s": 0}
    document = squall_run(spec).end(timeout_s=60)
    assert document["accepted"] < 120, "so few that the hub is never paused"
    assert document["lost"] == 0
