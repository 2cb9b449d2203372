"""A pattern is a value, found by its name, also where another package brings it."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from squall.bus.broker import FILE_STORE_BYTES_MAX
from squall.bus.subjects import Subjects
from squall.bus.topology.link import Node
from squall.bus.topology.model import Topology
from squall.services import patterns
from squall.services.errors import SpecError
from squall.services.node.points import POINT
from squall.services.patterns import PATTERNS, PLANNED, Pattern, pattern_of, star
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.patterns.star import StarSpec
from squall.services.run.swarm_toml import convert, load

BROUGHT = "brought_by_a_test"


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """``brought(value)``: a package is installed that brings this as the pattern ``mine``."""
    entry = importlib.metadata.EntryPoint("mine", f"{BROUGHT}:PATTERN", "squall.patterns")

    def entry_points(*, group: str, name: str = "mine") -> list[importlib.metadata.EntryPoint]:
        return [entry] if group == "squall.patterns" and name == "mine" else []

    def bring(value: object) -> None:
        module = ModuleType(BROUGHT)
        if value is not None:
            module.__dict__["PATTERN"] = value
        monkeypatch.setitem(sys.modules, BROUGHT, module)
        monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)

    return bring


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_serves_each_role_of_its_topology(name: str) -> None:
    pattern = PATTERNS[name]
    spec = pattern.spec(pattern=name)
    pattern.check(spec)
    roles = {node.role for node in pattern.topology(spec).nodes}
    assert set(pattern.roles) - {"venue"} <= roles
    assert {"agent", "producer", "venue"} <= set(pattern.roles)
    for role in pattern.roles:
        assert callable(pattern.module(role).serve)
    assert all(POINT.fullmatch(point) for point in pattern.points())
    assert {point.split(".")[0] for point in pattern.points()} <= set(pattern.roles)


@pytest.mark.parametrize("name", [name for name in PLANNED if name not in PATTERNS])
def test_a_planned_pattern_says_so(name: str) -> None:
    with pytest.raises(SpecError, match=f"the pattern {name} is not built yet"):
        pattern_of(name)


def test_an_unknown_pattern_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="there is no pattern 'hierarchic'") as caught:
        pattern_of("hierarchic")
    assert caught.value.remedy == "did you mean 'hierarchical'?"


def test_a_package_brings_a_pattern(brought: Callable[[object], None]) -> None:
    mine = replace(PATTERNS["hierarchical"], name="mine")
    brought(mine)
    assert pattern_of("mine") is mine
    assert convert({"pattern": "mine", "tasks": 5}, "the command").tasks == 5
    assert "mine" in patterns.names()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "cannot be loaded: AttributeError"),
        ("a string", "is no Pattern: .* is a str"),
        (PATTERNS["hierarchical"], "calls itself 'hierarchical'"),
    ],
)
def test_a_broken_package_is_one_sentence(
    brought: Callable[[object], None], value: object, said: str
) -> None:
    brought(value)
    with pytest.raises(SpecError, match=said) as raised:
        pattern_of("mine")
    assert raised.value.exit_code == 2
    assert "\n" not in str(raised.value)


def test_a_spec_file_from_before_is_read(tmp_path: Path) -> None:
    path = tmp_path / "spec.toml"
    path.write_text('pattern = "hierarchical"\ncoordinators = 3\nwindow_max = 100\npause_leader = false\n')
    assert load(path) == HierarchicalSpec(coordinators=3, window_max=100, pause_leader=False)
    path.write_text(HierarchicalSpec(agents=7).toml())
    assert load(path) == HierarchicalSpec(agents=7)


def test_a_file_that_names_no_pattern_is_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "swarm.toml"
    path.write_text("tasks = 5\n")
    assert load(path) == HierarchicalSpec(tasks=5)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"coordinator": 2},
            "says 'coordinator', which no spec of hierarchical has; did you mean 'coordinators'",
        ),
        ({"agents": "four"}, 'agents = "four" is no whole number'),
        ({"pattern": 4}, "pattern = 4 is no text"),
        ({"window_max": 10}, "would starve 4 agents"),
        ({"handler": "nothing"}, "names no function"),
        ({"swarm": "Two Words"}, "swarm name"),
        ({"ack_wait_s": float("inf")}, "the file: ack_wait_s = inf is no finite number"),
        ({"pattern": "star", "lease_s": 1e300}, "lease_s = 1e300 is too large: at most 1,000,000,000"),
        ({"pattern": "star", "rate_per_s": float("inf")}, "rate_per_s = inf is no finite number"),
        ({"patience_s": float("nan")}, "patience_s = nan is no finite number"),
    ],
)
def test_what_no_spec_says_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        convert(values, "the file")


def test_a_handler_that_may_be_called_twice_says_so() -> None:
    handler = {"use": "mine:decide", "idempotent": True}
    spec = convert({"handler": handler, "hedge_after": 2.0}, "the file")
    assert isinstance(spec, HierarchicalSpec)
    assert (spec.hedge_after, spec.handler_idempotent) == (2.0, True)


def test_each_worker_that_is_given_tasks_by_name_has_a_consumer_of_its_own() -> None:
    spec = HierarchicalSpec(distribution="affinity", agents=2)
    pattern = PATTERNS["hierarchical"]
    joined = pattern.topology(spec).with_node(Node("agent-3", "agent", isolated=True))
    names = [consumer.name for consumer in pattern.consumers(spec, joined)]
    assert names == ["agent-1", "agent-2", "agent-3", "gateway"]


def test_each_spoke_that_is_given_tasks_by_name_pulls_those_and_no_class() -> None:
    spec = StarSpec(distribution="affinity", agents=2)
    pattern = PATTERNS["star"]
    consumers = pattern.consumers(spec, pattern.topology(spec))
    assert [consumer.name for consumer in consumers] == ["agent-1", "agent-2", "gateway"]
    names = Subjects(spec.swarm)
    assert consumers[0].config["filter_subject"] == names.queued("*", "*", "*", "agent-1")
    queue = next(each for each in pattern.streams(spec) if each["name"] == names.stream("WK"))
    assert [source["name"] for source in queue["sources"]] == [names.stream("HUB")]


@pytest.mark.parametrize(
    "changed",
    [lambda t: t.with_node(Node("agent-7", "agent", isolated=True)), lambda t: t.without_node("agent-1")],
)
def test_no_spoke_joins_or_leaves_a_star(changed: Callable[[Topology], Topology]) -> None:
    """It would have no classes, or leave some to nobody."""
    spec = star.StarSpec()
    with pytest.raises(SpecError, match="no spoke can join or leave a star"):
        star.consumers(spec, changed(star.topology(spec)))


def test_a_value_is_a_pattern() -> None:
    assert all(isinstance(pattern, Pattern) for pattern in PATTERNS.values())


@pytest.mark.parametrize("name", PATTERNS)
@pytest.mark.parametrize("tasks", [1, 4_000_000, 10_000_000])
def test_the_streams_of_the_largest_load_fit_a_broker_of_our_own(name: str, tasks: int) -> None:
    """The broker sets their bounds aside when they are made, and refuses what does not fit."""
    pattern = PATTERNS[name]
    streams = pattern.streams(pattern.spec(pattern=name, tasks=tasks))
    assert sum(stream["max_bytes"] for stream in streams) <= FILE_STORE_BYTES_MAX


def test_no_second_gateway_joins_a_star() -> None:
    """No hub would announce itself to it, so it would keep back for ever what it pulls."""
    spec = star.StarSpec()
    with pytest.raises(SpecError, match="no second gateway can join a star"):
        star.consumers(spec, star.topology(spec).with_node(Node("gateway-1", "gateway")))
