"""A fault at several nodes: what an error at one of them does to the others, and what is written of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from squall.chaos.errors import HarnessBrokenError, UnverifiedError
from squall.chaos.inject.faults.fault import Fault, Site
from squall.chaos.inject.force import Force, Strike
from squall.chaos.plan.kinds import Kind
from squall.services.run.directory import RunDirectory

pytestmark = pytest.mark.anyio

NODES = ("agent-1", "agent-2", "agent-3")


class Told(Fault, frozen=True, kw_only=True):
    """A fault of nothing, which does at each step what it was told, and keeps what happened."""

    name: ClassVar[str] = "told"
    steps: ClassVar[dict[str, Callable[[str], Any]]] = {}
    done: ClassVar[list[str]] = []

    @property
    def kind(self) -> Kind:
        return Kind("told", "")

    async def _step(self, step: str, site: Site, good: Any) -> Any:
        self.done.append(f"{step} {site.node}")
        act = self.steps.get(step)
        result = act(site.node) if act is not None else good
        if asyncio.iscoroutine(result):
            result = await result
        if isinstance(result, BaseException):
            raise result
        return result

    async def inject(self, site: Site) -> None:
        await self._step("inject", site, None)

    async def in_force(self, site: Site) -> bool:
        return bool(await self._step("in_force", site, True))

    async def undone(self, site: Site) -> str:
        return str(await self._step("undone", site, ""))

    async def afterwards(self, site: Site, begun: int) -> Any:
        return await self._step("afterwards", site, "unknown")

    async def heal(self, site: Site) -> None:
        await self._step("heal", site, None)

    async def healed(self, site: Site) -> bool:
        return bool(await self._step("healed", site, True))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[str], Any]]:
    steps: dict[str, Callable[[str], Any]] = {}
    monkeypatch.setattr(Told, "steps", steps)
    monkeypatch.setattr(Told, "done", [])
    return steps


async def hold(tmp_path: Path) -> tuple[Strike, dict[str, Any]]:
    """Hold a fault; the strike, and its last line."""
    strike = Strike(NODES, False)
    sites = [Site(None, node) for node in NODES]  # type: ignore[arg-type]
    force = Force(RunDirectory(tmp_path), 1, Told(), "all", strike, "", sites)
    async with force.holding(60.0):
        pass
    return strike, json.loads((tmp_path / "faults.jsonl").read_text().splitlines()[-1])


def at(node: str, result: Any, good: Any = None) -> Callable[[str], Any]:
    return lambda other: result if other == node else good


async def test_what_goes_well_is_verified_and_gives_no_reason(tmp_path: Path, told: Any) -> None:
    strike, line = await hold(tmp_path)
    assert (strike.verified, line["verified"], "reason" in line) == (True, True, False)


@pytest.mark.parametrize(
    ("step", "result", "good", "says"),
    [
        ("in_force", False, True, "it was not seen in force"),
        ("in_force", TimeoutError("too slow"), True, "too slow"),
        ("inject", UnverifiedError("p", "no answer"), None, "no answer"),
        ("undone", "somebody removed latency_upstream", "", "somebody removed latency_upstream"),
        ("undone", LookupError("agent-2 does not serve"), "", "agent-2 does not serve"),
        ("healed", False, True, "not seen to be healed"),
    ],
)
async def test_what_does_not_is_not_verified_for_a_reason_on_record(
    tmp_path: Path, told: Any, step: str, result: Any, good: Any, says: str
) -> None:
    told[step] = at("agent-2", result, good)
    strike, line = await hold(tmp_path)
    assert (strike.verified, line["verified"]) == (False, False)
    assert says in line["reason"]
    assert [done for done in Told.done if done.startswith("heal ")] == [f"heal {node}" for node in NODES]


@pytest.mark.parametrize(
    ("became", "verified", "spared"),
    [
        ({"agent-2": "struck"}, "agent-1 agent-2 agent-3", ""),
        ({"agent-2": "spared"}, "agent-1 agent-3", "agent-2"),
        ({"agent-1": "spared", "agent-2": "struck", "agent-3": "spared"}, "agent-2", "agent-1 agent-3"),
        (dict.fromkeys(NODES, "spared"), "", "agent-1 agent-2 agent-3"),
        ({"agent-1": "unknown", "agent-2": "spared"}, "", ""),
    ],
)
async def test_of_a_node_at_which_it_was_not_seen_it_may_be_known_in_the_end_what_became(
    tmp_path: Path, told: Any, became: dict[str, str], verified: str, spared: str
) -> None:
    told["in_force"] = lambda node: node not in became
    told["afterwards"] = became.get
    await hold(tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "faults.jsonl").read_text().splitlines()][-3:]
    assert " ".join(line["node"] for line in lines if line["verified"]) == verified
    assert " ".join(line["node"] for line in lines if line.get("spared")) == spared
    assert all(bool(line.get("reason")) is not line["verified"] for line in lines)


async def test_what_was_undone_where_it_was_seen_is_in_doubt_though_another_node_was_spared(
    tmp_path: Path, told: Any
) -> None:
    told["in_force"] = lambda node: node != "agent-2"
    told["afterwards"] = lambda node: "spared"
    told["undone"] = at("agent-1", "somebody removed latency_upstream", "")
    strike, line = await hold(tmp_path)
    assert (strike.verified, line["verified"]) == (False, False)
    assert "somebody removed latency_upstream" in line["reason"]
    assert "undone agent-2" not in Told.done


async def test_an_error_at_one_node_stops_the_others_and_heals_all_before_it_is_raised(
    tmp_path: Path, told: Any
) -> None:
    stopped: list[str] = []

    async def injecting(node: str) -> None:
        if node == "agent-2":
            raise HarnessBrokenError("Toxiproxy is gone")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            assert not [done for done in Told.done if done.startswith("heal")], "healed while it injects"
            stopped.append(node)
            raise

    told["inject"] = injecting
    with pytest.raises(HarnessBrokenError, match="Toxiproxy is gone"):
        await hold(tmp_path)
    assert sorted(stopped) == ["agent-1", "agent-3"]
    assert [done for done in Told.done if done.startswith("heal ")] == [f"heal {node}" for node in NODES]


async def test_an_error_in_healing_one_node_spares_no_other_its_healing(tmp_path: Path, told: Any) -> None:
    ended: list[str] = []

    async def healing(node: str) -> None:
        if node == "agent-1":
            raise HarnessBrokenError("stuck")
        await asyncio.sleep(0)
        ended.append(node)

    told["heal"] = healing
    with pytest.raises(HarnessBrokenError, match="stuck"):
        await hold(tmp_path)
    assert ended == ["agent-2", "agent-3"]
