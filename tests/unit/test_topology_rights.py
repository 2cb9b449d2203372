"""What links come to, link by link; and what cannot be a topology."""

from __future__ import annotations

import pytest

from squall.bus.subjects import ANY, SOURCE, TARGET, Subjects, overlap
from squall.bus.topology.link import Link, Node
from squall.bus.topology.model import Topology
from squall.bus.topology.rights import Export, Import, Permissions

S = Subjects("demo")
BOSS = Node("boss", "boss")
WORKERS = tuple(Node(f"worker-{n}", "worker", isolated=True) for n in (1, 2))
QUEUED = S.queued(ANY, ANY, ANY)


def topology(*links: Link, nodes: tuple[Node, ...] = (BOSS, *WORKERS)) -> Topology:
    return Topology(pattern="test", swarm="demo", nodes=nodes, links=links)


@pytest.mark.parametrize(
    ("link", "node", "publish", "subscribe"),
    [
        (Link("boss", "JOB", S.jobs), "boss", ["sw.demo.job.>"], []),
        (Link("boss", "worker", S.command(TARGET, ANY)), "boss", ["sw.demo.cmd.*.*"], []),
        (Link("boss", "worker", S.command(TARGET, ANY)), "worker-2", [], ["sw.demo.cmd.worker-2.*"]),
        (Link("boss", "worker", S.command(TARGET, "lead")), "worker-2", [], ["sw.demo.cmd.worker-2.lead"]),
        (Link("boss", "worker-2", S.command(TARGET, ANY)), "boss", ["sw.demo.cmd.worker-2.*"], []),
        (Link("boss", "worker-2", S.command(TARGET, ANY)), "worker-1", None, []),
        (Link("worker", "boss", S.reply(SOURCE, ANY)), "boss", [], ["sw.demo.rep.*.*"]),
        (Link("worker", "boss", S.reply(SOURCE, ANY)), "worker-1", ["sw.demo.rep.worker-1.*"], []),
        (Link("worker-1", "boss", S.reply(SOURCE, ANY)), "boss", [], ["sw.demo.rep.worker-1.*"]),
        (Link("worker-1", "boss", S.reply(SOURCE, ANY)), "worker-2", None, []),
        (Link("worker", "HUB", S.request(SOURCE, ANY)), "worker-1", ["sw.demo.hub.req.worker-1.*"], []),
        (
            Link("WK", "worker", QUEUED, by="pull", consumer="pool"),
            "worker-1",
            ["$JS.API.CONSUMER.MSG.NEXT.DEMO_WK.pool", "$JS.ACK.DEMO_WK.pool.>"],
            [],
        ),
        (
            Link("WK", "worker", QUEUED, by="pull", consumer=TARGET),
            "worker-1",
            ["$JS.API.CONSUMER.MSG.NEXT.DEMO_WK.worker-1", "$JS.ACK.DEMO_WK.worker-1.>"],
            [],
        ),
        (
            Link("RES", "boss", S.registers, by="read"),
            "boss",
            [
                "$JS.API.STREAM.INFO.DEMO_RES",
                "$JS.API.CONSUMER.CREATE.DEMO_RES.boss.sw.demo.res.*.*",
                "$JS.API.CONSUMER.MSG.NEXT.DEMO_RES.boss",
                "$JS.API.CONSUMER.DELETE.DEMO_RES.boss",
            ],
            [],
        ),
        (Link("RES", "boss", S.registers, by="get"), "boss", ["$JS.API.STREAM.MSG.GET.DEMO_RES"], []),
        (
            Link("boss", "IN", S.ingress, by="trim"),
            "boss",
            ["$JS.API.STREAM.INFO.DEMO_IN", "$JS.API.STREAM.PURGE.DEMO_IN"],
            [],
        ),
        (
            Link("TRY", "worker", S.tries, by="newest"),
            "worker-1",
            ["$JS.API.DIRECT.GET.DEMO_TRY.sw.demo.try.*.*.*"],
            [],
        ),
        (Link("JOB", "WK", S.dispatches, by="source"), "boss", None, []),
    ],
)
def test_a_link_gives_exactly_this(
    link: Link, node: str, publish: list[str] | None, subscribe: list[str]
) -> None:
    """``publish`` None: the node is at no end of it, and may not even tell that it lives."""
    whole = topology(link)
    role = whole.node(node).role
    alive = [] if publish is None else [f"sw.demo.hb.{role}.{node}"]
    assert list(whole.permissions[node].publish) == [*(publish or []), *alive]
    assert list(whole.permissions[node].subscribe) == [f"_INBOX.{node}.>", *subscribe]


def test_a_consumer_of_ones_own_is_exported_to_all_and_imported_by_its_owner_alone() -> None:
    whole = topology(Link("WK", "worker", QUEUED, by="pull", consumer=TARGET))
    assert whole.exports[:2] == (
        Export("$JS.API.CONSUMER.MSG.NEXT.DEMO_WK.*", many_answers=True),
        Export("$JS.ACK.DEMO_WK.*.>"),
    )
    assert whole.imports["worker-2"][:2] == (
        Import("$JS.API.CONSUMER.MSG.NEXT.DEMO_WK.worker-2"),
        Import("$JS.ACK.DEMO_WK.worker-2.>"),
    )


def test_what_is_imported_is_what_may_be_done_but_for_the_inbox() -> None:
    whole = topology(
        Link("WK", "worker", QUEUED, by="pull", consumer=TARGET),
        Link("boss", "worker", S.command(TARGET, ANY)),
        Link("worker", "boss", S.reply(SOURCE, ANY)),
    )
    for node in WORKERS:
        rights = whole.permissions[node.name]
        taken = whole.imports[node.name]
        assert {wanted.subject for wanted in taken if wanted.kind == "service"} == {*rights.publish}
        assert {wanted.subject for wanted in taken if wanted.kind == "stream"} == {*rights.subscribe[1:]}


def test_a_node_of_core_has_a_template_and_no_imports() -> None:
    whole = topology(Link("boss", "JOB", S.jobs))
    assert set(whole.templates) == {"boss"}
    assert set(whole.imports) == {"worker-1", "worker-2"}
    assert whole.templates["boss"].of("boss") == whole.permissions["boss"]


def test_administration_comes_on_top_and_is_for_core_only() -> None:
    more = {"boss": Permissions(publish=("$JS.API.INFO",), subscribe=(S.heartbeats,))}
    whole = Topology("test", "demo", (BOSS, *WORKERS), (Link("boss", "JOB", S.jobs),), more)
    assert whole.permissions["boss"] == Permissions(
        publish=("sw.demo.job.>", "sw.demo.hb.boss.boss", "$JS.API.INFO"),
        subscribe=("_INBOX.boss.>", "sw.demo.hb.*.*"),
    )
    with pytest.raises(ValueError, match="administers nothing: worker"):
        Topology("test", "demo", (BOSS, *WORKERS), (), {"worker": Permissions(publish=("$JS.API.INFO",))})


def test_no_isolated_node_may_make_drain_or_delete_a_consumer() -> None:
    with pytest.raises(ValueError, match="worker is isolated, and pulls instead of reading"):
        topology(Link("JOB", "worker", S.jobs, by="read"))


def test_a_node_that_joins_has_the_links_of_its_role_and_changes_nobody_elses() -> None:
    before = topology(
        Link("WK", "worker", QUEUED, by="pull", consumer=TARGET),
        Link("boss", "worker", S.command(TARGET, ANY)),
        Link("worker-1", "boss", S.reply(SOURCE, ANY)),
    )
    after = before.with_node(Node("worker-3", "worker", isolated=True))
    assert after.exports == before.exports
    assert after.templates == before.templates
    assert {name: after.imports[name] for name in before.imports} == before.imports
    assert after.permissions["worker-3"] == Permissions(
        *(
            tuple(subject.replace("worker-2", "worker-3") for subject in subjects)
            for subjects in (before.permissions["worker-2"].publish, before.permissions["worker-2"].subscribe)
        )
    )
    assert after.without_node("worker-3") == before


def test_a_node_that_leaves_takes_the_links_along_that_named_it() -> None:
    before = topology(
        Link("boss", "worker", S.command(TARGET, ANY)), Link("worker-1", "boss", S.reply(SOURCE, ANY))
    )
    after = before.without_node("worker-1")
    assert after.nodes == (BOSS, WORKERS[1])
    assert after.links == before.links[:1]


@pytest.mark.parametrize(
    ("nodes", "links", "message"),
    [
        ((BOSS, BOSS), (), "same name"),
        ((BOSS,), (Link("boss", "worker", S.jobs),), "ends at worker, which is no node"),
        ((*WORKERS, Node("worker-3", "worker")), (), "of role worker are isolated, or they are not"),
        (
            (Node("boss-1", "boss"), Node("boss-2", "boss"), *WORKERS),
            (Link("boss-1", "worker", S.command(TARGET, ANY)),),
            "boss-1 has the rights of its role",
        ),
    ],
)
def test_a_topology_that_contradicts_itself_is_refused(
    nodes: tuple[Node, ...], links: tuple[Link, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        topology(*links, nodes=nodes)


@pytest.mark.parametrize(
    ("first", "second", "both"),
    [
        ("a.b", "a.b", "a.b"),
        ("a.*", "a.b", "a.b"),
        ("a.>", "*.b.c", "a.b.c"),
        ("a.*.c", "*.b.*", "a.b.c"),
        ("a.>", "a.>", "a.>"),
        ("a.>", "a", None),
        ("a.b", "a.c", None),
        ("a.*", "a.b.c", None),
    ],
)
def test_what_falls_under_two_patterns(first: str, second: str, both: str | None) -> None:
    assert overlap(first, second) == overlap(second, first) == both
