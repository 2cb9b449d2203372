"""Who may do what in a hierarchical swarm, written out."""

from __future__ import annotations

import dataclasses

import pytest

from squall.bus.errors import InvalidNameError
from squall.bus.topology.hierarchical import hierarchical
from squall.bus.topology.link import Node
from squall.bus.topology.rights import Export, Import, Permissions

PERMISSIONS = {
    "agent-1": Permissions(
        publish=(
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_WK.pool",
            "$JS.ACK.DEMO_WK.pool.>",
            "sw.demo.res.*.*",
            "sw.demo.try.pool.*.*",
            "$JS.API.DIRECT.GET.DEMO_TRY.sw.demo.try.pool.*.*",
            "sw.demo.hb.agent.agent-1",
            "sw.demo.rep.agent-1.*",
        ),
        subscribe=("_INBOX.agent-1.>", "sw.demo.cmd.agent-1.*"),
    ),
    "producer": Permissions(
        publish=("sw.demo.in.task.*", "sw.demo.in.close.*", "sw.demo.hb.producer.producer"),
        subscribe=("_INBOX.producer.>",),
    ),
    "gateway": Permissions(
        publish=(
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_RES.gateway",
            "$JS.ACK.DEMO_RES.gateway.>",
            "sw.demo.hb.gateway.gateway",
        ),
        subscribe=("_INBOX.gateway.>",),
    ),
    "coordinator-2": Permissions(
        publish=(
            "sw.demo.job.>",
            "sw.demo.res.*.*",
            "sw.demo.cmd.*.*",
            "sw.demo.hb.coordinator.coordinator-2",
            "$JS.API.STREAM.MSG.GET.DEMO_JOB",
            "$JS.API.STREAM.MSG.GET.DEMO_WK",
            "$JS.API.STREAM.MSG.GET.DEMO_RES",
            "$JS.API.STREAM.MSG.GET.DEMO_DLQ",
            "$JS.API.STREAM.PURGE.DEMO_IN",
            "$JS.API.STREAM.PURGE.DEMO_JOB",
            "$JS.API.STREAM.INFO.DEMO_IN",
            "$JS.API.STREAM.INFO.DEMO_JOB",
            "$JS.API.STREAM.INFO.DEMO_RES",
            "$JS.API.CONSUMER.CREATE.DEMO_IN.coordinator-2.sw.demo.in.>",
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_IN.coordinator-2",
            "$JS.API.CONSUMER.DELETE.DEMO_IN.coordinator-2",
            "$JS.API.CONSUMER.CREATE.DEMO_JOB.coordinator-2.sw.demo.job.*.*.*.*",
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_JOB.coordinator-2",
            "$JS.API.CONSUMER.DELETE.DEMO_JOB.coordinator-2",
            "$JS.API.CONSUMER.CREATE.DEMO_RES.coordinator-2.sw.demo.res.*.*",
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_RES.coordinator-2",
            "$JS.API.CONSUMER.DELETE.DEMO_RES.coordinator-2",
        ),
        subscribe=(
            "_INBOX.coordinator-2.>",
            "sw.demo.rep.*.*",
            "sw.demo.hb.agent.*",
            "sw.demo.hb.gateway.gateway",
        ),
    ),
    "launcher": Permissions(
        publish=(
            "$JS.API.INFO",
            "$JS.API.STREAM.CREATE.*",
            "$JS.API.STREAM.INFO.*",
            "$JS.API.CONSUMER.CREATE.>",
            "$JS.API.CONSUMER.INFO.*.*",
            "$JS.API.CONSUMER.DELETE.*.*",
        ),
        subscribe=("_INBOX.launcher.>",),
    ),
    "warden": Permissions(
        publish=(
            "$JS.API.STREAM.INFO.DEMO_WK",
            "$JS.API.STREAM.INFO.DEMO_RES",
            "$JS.API.CONSUMER.INFO.DEMO_WK.pool",
            "$JS.API.CONSUMER.DELETE.DEMO_WK.pool",
            "$JS.API.CONSUMER.CREATE.DEMO_WK.pool.sw.demo.wk.>",
        ),
        subscribe=(
            "_INBOX.warden.>",
            "$JS.ACK.DEMO_WK.pool.>",
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_WK.pool",
        ),
    ),
    "observer": Permissions(
        publish=(
            "$JS.API.STREAM.INFO.*",
            "$JS.API.CONSUMER.INFO.*.*",
            "$JS.API.STREAM.MSG.GET.*",
            "$JS.API.CONSUMER.CREATE.DEMO_IN.observer.sw.demo.in.>",
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_IN.observer",
            "$JS.API.CONSUMER.DELETE.DEMO_IN.observer",
            "$JS.API.CONSUMER.CREATE.DEMO_JOB.observer.sw.demo.job.>",
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_JOB.observer",
            "$JS.API.CONSUMER.DELETE.DEMO_JOB.observer",
            "$JS.API.CONSUMER.CREATE.DEMO_RES.observer.sw.demo.res.*.*",
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_RES.observer",
            "$JS.API.CONSUMER.DELETE.DEMO_RES.observer",
            "$JS.API.CONSUMER.CREATE.DEMO_DLQ.observer.sw.demo.dlq.*.*",
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_DLQ.observer",
            "$JS.API.CONSUMER.DELETE.DEMO_DLQ.observer",
        ),
        subscribe=("_INBOX.observer.>", "sw.demo.hb.*.*"),
    ),
}

BAD_NAMES = ["", "*", ">", "a.b", "a b", "A", "-a", "a\n", "{{name()}}", "ä", "a" * 41]


@pytest.mark.parametrize("name", PERMISSIONS)
def test_a_node_may_do_exactly_this(name: str) -> None:
    derived, written = hierarchical("demo", agents=3).permissions[name], PERMISSIONS[name]
    assert sorted(derived.publish) == sorted(written.publish)
    assert sorted(derived.subscribe) == sorted(written.subscribe)


def test_every_role_is_written_out() -> None:
    topology = hierarchical("demo", agents=3)
    assert {topology.node(name).role for name in PERMISSIONS} == {node.role for node in topology.nodes}


def test_nodes_are_named_after_their_roles() -> None:
    topology = hierarchical("demo", agents=2)

    assert topology.nodes == (
        Node("launcher", "launcher"),
        Node("coordinator-1", "coordinator"),
        Node("coordinator-2", "coordinator"),
        Node("gateway", "gateway"),
        Node("agent-1", "agent", isolated=True),
        Node("agent-2", "agent", isolated=True),
        Node("producer", "producer"),
        Node("observer", "observer"),
        Node("warden", "warden"),
    )
    assert [node.name for node in topology.of_role("coordinator")] == ["coordinator-1", "coordinator-2"]


def test_an_agent_imports_exactly_what_it_may_use() -> None:
    assert hierarchical("demo", agents=2).imports["agent-2"] == (
        Import("$JS.API.CONSUMER.MSG.NEXT.DEMO_WK.pool"),
        Import("$JS.ACK.DEMO_WK.pool.>"),
        Import("sw.demo.res.*.*"),
        Import("sw.demo.try.pool.*.*"),
        Import("$JS.API.DIRECT.GET.DEMO_TRY.sw.demo.try.pool.*.*"),
        Import("sw.demo.rep.agent-2.*"),
        Import("sw.demo.hb.agent.agent-2"),
        Import("sw.demo.cmd.agent-2.*", "stream"),
    )


def test_core_exports_only_what_agents_need() -> None:
    assert hierarchical("demo", agents=1).exports == (
        Export("$JS.API.CONSUMER.MSG.NEXT.DEMO_WK.pool", many_answers=True),
        Export("$JS.ACK.DEMO_WK.pool.>"),
        Export("sw.demo.res.*.*"),
        Export("sw.demo.try.pool.*.*"),
        Export("$JS.API.DIRECT.GET.DEMO_TRY.sw.demo.try.pool.*.*"),
        Export("sw.demo.rep.*.*"),
        Export("sw.demo.hb.agent.*"),
        Export("sw.demo.cmd.*.*", "stream"),
    )


def test_links_join_roles_and_planes() -> None:
    topology = hierarchical("demo", agents=5)
    ends = {node.role for node in topology.nodes} | {"IN", "JOB", "WK", "TRY", "RES", "DLQ"}

    assert {(link.source, link.target) for link in topology.links} >= {
        ("producer", "IN"),
        ("IN", "coordinator"),
        ("coordinator", "JOB"),
        ("JOB", "WK"),
        ("WK", "agent"),
        ("agent", "RES"),
        ("agent", "TRY"),
        ("RES", "gateway"),
        ("agent", "coordinator"),
        ("coordinator", "agent"),
    }
    assert {end for link in topology.links for end in (link.source, link.target)} <= ends


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_swarm_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidNameError):
        hierarchical(name, agents=1)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_node_name_is_refused(name: str) -> None:
    topology = hierarchical("demo", agents=1)

    with pytest.raises(InvalidNameError):
        dataclasses.replace(topology, nodes=(*topology.nodes, Node(name, "producer")))
    with pytest.raises(InvalidNameError):
        topology.node(name)


def test_an_unknown_node_is_refused() -> None:
    with pytest.raises(InvalidNameError, match="no node 'agent-4'"):
        hierarchical("demo", agents=3).node("agent-4")


@pytest.mark.parametrize(("agents", "coordinators"), [(0, 2), (1, 0), (-1, 1)])
def test_a_swarm_needs_an_agent_and_a_coordinator(agents: int, coordinators: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        hierarchical("demo", agents=agents, coordinators=coordinators)


# Where the coordinator says who is given what.


def test_who_is_given_tasks_by_name_pulls_from_nobody_elses_consumer() -> None:
    mine = hierarchical("demo", agents=2, addressed=True).imports["agent-2"]
    assert mine[:2] == (
        Import("$JS.API.CONSUMER.MSG.NEXT.DEMO_WK.agent-2"),
        Import("$JS.ACK.DEMO_WK.agent-2.>"),
    )
    shared = hierarchical("demo", agents=2).imports["agent-2"]
    assert mine[2:] == shared[2:]


def test_a_coordinator_that_gives_tasks_out_by_name_may_take_them_back() -> None:
    pulled, addressed = (
        hierarchical("demo", agents=2, addressed=each).permissions["coordinator-1"] for each in (False, True)
    )
    assert {*addressed.publish} - {*pulled.publish} == {
        "$JS.API.STREAM.INFO.DEMO_WK",
        "$JS.API.STREAM.PURGE.DEMO_WK",
        "$JS.API.CONSUMER.INFO.DEMO_WK.*",
    }
    assert addressed.subscribe == pulled.subscribe


def test_nobody_watches_a_pool_that_is_not_there() -> None:
    assert not hierarchical("demo", agents=2, addressed=True).of_role("warden")
