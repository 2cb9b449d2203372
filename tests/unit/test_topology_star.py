"""Who may do what in a star, written out."""

from __future__ import annotations

import pytest

from squall.bus.topology.link import Node
from squall.bus.topology.rights import Import, Permissions
from squall.bus.topology.star import star

PERMISSIONS = {
    "agent-2": Permissions(
        publish=(
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_WK.agent-2",
            "$JS.ACK.DEMO_WK.agent-2.>",
            "sw.demo.hub.req.agent-2.*",
            "sw.demo.try.agent-2.*.*",
            "$JS.API.DIRECT.GET.DEMO_TRY.sw.demo.try.agent-2.*.*",
            "sw.demo.rep.agent-2.*",
            "sw.demo.hb.agent.agent-2",
        ),
        subscribe=("_INBOX.agent-2.>", "sw.demo.cmd.agent-2.lead"),
    ),
    "producer": Permissions(
        publish=("sw.demo.in.*.*.*", "sw.demo.hb.producer.producer"),
        subscribe=("_INBOX.producer.>",),
    ),
    "gateway": Permissions(
        publish=(
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_RES.gateway",
            "$JS.ACK.DEMO_RES.gateway.>",
            "sw.demo.hb.gateway.gateway",
        ),
        subscribe=("_INBOX.gateway.>", "sw.demo.cmd.gateway.lead"),
    ),
    "hub-2": Permissions(
        publish=(
            "$JS.API.STREAM.INFO.DEMO_IN",
            "$JS.API.CONSUMER.CREATE.DEMO_IN.hub-2.sw.demo.in.*.*.*",
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_IN.hub-2",
            "$JS.API.CONSUMER.DELETE.DEMO_IN.hub-2",
            "$JS.API.STREAM.PURGE.DEMO_IN",
            "$JS.API.STREAM.INFO.DEMO_HUB",
            "$JS.API.CONSUMER.CREATE.DEMO_HUB.hub-2.sw.demo.hub.>",
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_HUB.hub-2",
            "$JS.API.CONSUMER.DELETE.DEMO_HUB.hub-2",
            "$JS.API.STREAM.MSG.GET.DEMO_IN",
            "$JS.API.STREAM.MSG.GET.DEMO_WK",
            "$JS.API.STREAM.MSG.GET.DEMO_RES",
            "$JS.API.STREAM.MSG.GET.DEMO_DLQ",
            "$JS.API.STREAM.MSG.GET.DEMO_HUB",
            "$JS.API.STREAM.PURGE.DEMO_HUB",
            "$JS.API.STREAM.MSG.GET.DEMO_REQ",
            "$JS.API.STREAM.INFO.DEMO_REQ",
            "$JS.API.STREAM.PURGE.DEMO_REQ",
            "sw.demo.hub.term",
            "sw.demo.hub.lease",
            "sw.demo.hub.snap",
            "sw.demo.hub.dec.*",
            "sw.demo.hub.dead.*",
            "sw.demo.cmd.*.lead",
            "sw.demo.cmd.gateway.lead",
            "sw.demo.hb.hub.hub-2",
        ),
        subscribe=("_INBOX.hub-2.>", "sw.demo.rep.*.*", "sw.demo.hb.gateway.gateway"),
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
    "observer": Permissions(
        publish=(
            "$JS.API.STREAM.INFO.*",
            "$JS.API.CONSUMER.INFO.*.*",
            "$JS.API.STREAM.MSG.GET.*",
            "$JS.API.CONSUMER.CREATE.DEMO_IN.observer.sw.demo.in.>",
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_IN.observer",
            "$JS.API.CONSUMER.DELETE.DEMO_IN.observer",
            "$JS.API.CONSUMER.CREATE.DEMO_HUB.observer.sw.demo.hub.>",
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_HUB.observer",
            "$JS.API.CONSUMER.DELETE.DEMO_HUB.observer",
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


@pytest.mark.parametrize("name", PERMISSIONS)
def test_a_node_may_do_exactly_this(name: str) -> None:
    derived, written = star("demo", agents=3).permissions[name], PERMISSIONS[name]
    assert sorted(derived.publish) == sorted(written.publish)
    assert sorted(derived.subscribe) == sorted(written.subscribe)


def test_every_role_is_written_out() -> None:
    topology = star("demo", agents=3)
    assert {topology.node(name).role for name in PERMISSIONS} == {node.role for node in topology.nodes}


def test_nodes_are_named_after_their_roles() -> None:
    assert star("demo", agents=2).nodes == (
        Node("launcher", "launcher"),
        Node("hub-1", "hub"),
        Node("hub-2", "hub"),
        Node("gateway", "gateway"),
        Node("agent-1", "agent", isolated=True),
        Node("agent-2", "agent", isolated=True),
        Node("producer", "producer"),
        Node("observer", "observer"),
    )


def test_a_spoke_imports_its_own_consumer_and_its_own_requests() -> None:
    assert star("demo", agents=6).imports["agent-6"] == (
        Import("$JS.API.CONSUMER.MSG.NEXT.DEMO_WK.agent-6"),
        Import("$JS.ACK.DEMO_WK.agent-6.>"),
        Import("sw.demo.hub.req.agent-6.*"),
        Import("sw.demo.try.agent-6.*.*"),
        Import("$JS.API.DIRECT.GET.DEMO_TRY.sw.demo.try.agent-6.*.*"),
        Import("sw.demo.rep.agent-6.*"),
        Import("sw.demo.hb.agent.agent-6"),
        Import("sw.demo.cmd.agent-6.lead", "stream"),
    )


@pytest.mark.parametrize(("agents", "hubs"), [(0, 2), (1, 0), (-1, 1)])
def test_a_star_needs_a_spoke_and_a_hub(agents: int, hubs: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        star("demo", agents=agents, hubs=hubs)
