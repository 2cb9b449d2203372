"""Who is linked with whom where peers vote, and what a peer may do."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.bus.subjects import Subjects, fetch, matches
from squall.bus.topology.link import Node
from squall.bus.topology.mesh import edges, mesh
from squall.bus.topology.model import Topology
from squall.bus.topology.rights import Permissions
from squall.bus.vote_subjects import VoteSubjects
from squall.services.errors import SpecError
from squall.services.patterns.mesh import MeshSpec, check
from squall.services.patterns.mesh import neighbours as neighbours_of

S = Subjects("squall")
V = VoteSubjects(S)


def linked(names: list[str], neighbours: int, seed: int) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in names}
    for a, b in edges(names, neighbours, seed):
        assert b not in found[a]
        found[a].add(b)
        found[b].add(a)
    return found


@given(st.integers(1, 40), st.integers(2, 12), st.integers())
def test_each_peer_has_so_many_neighbours_and_all_are_connected(
    agents: int, neighbours: int, seed: int
) -> None:
    names = [f"agent-{number}" for number in range(1, agents + 1)]
    found = linked(names, neighbours, seed)
    most = min(neighbours, agents - 1)
    degrees = sorted(len(others) for others in found.values())
    odd = neighbours % 2 and agents % 2 and neighbours < agents - 1
    assert degrees == [most] * (agents - 1) + [most + 1 if odd else most]
    assert all(name not in others for name, others in found.items())
    reached, fresh = {names[0]}, [names[0]]
    while fresh:
        more = found[fresh.pop()] - reached
        reached |= more
        fresh.extend(more)
    assert len(reached) == agents
    assert found == linked(names, neighbours, seed)


def test_the_seed_chooses_the_neighbours() -> None:
    names = [f"agent-{number}" for number in range(1, 10)]
    assert len({tuple(edges(names, 2, seed)) for seed in range(10)}) > 5
    assert len(edges(names, 0, 1)) == len(edges(names, 8, 2)) == 36


@pytest.mark.parametrize("neighbours", [1, -1])
def test_too_few_neighbours_are_refused(neighbours: int) -> None:
    with pytest.raises(ValueError, match="not all peers would be connected"):
        mesh("squall", agents=5, neighbours=neighbours)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"neighbours": 1}, "not all peers would be connected"),
        ({"rule": "weighted", "weights": (1, 2)}, "2 weights for 3 peers"),
        ({"weights": (1, 1, 1)}, "count for nothing under the rule majority"),
        ({"leaves_at_s": (1.0, 2.0, 3.0)}, "0 peers would be left"),
        ({"leaves_at_s": (1.0, 2.0, 3.0), "joins_at_s": (4.0,)}, "0 peers would be left"),
        ({"suspect_s_min": 0.1}, "must not be smaller"),
    ],
)
def test_a_swarm_that_could_not_decide_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        check(MeshSpec(agents=3, **changes))


def test_one_may_leave_for_whom_another_has_come() -> None:
    check(MeshSpec(agents=3, leaves_at_s=(1.0, 2.0, 4.0), joins_at_s=(3.0,)))


LOG, WK, TRY = V.stream, S.stream("WK"), S.stream("TRY")
OWN = Permissions(
    publish=(
        "sw.squall.log.prop.agent-1.*.*",
        "sw.squall.log.vote.agent-1.*.*",
        "sw.squall.log.close.agent-1.*.*",
        "sw.squall.log.dec.agent-1.*.*.*",
        f"$JS.API.DIRECT.GET.{LOG}",
        f"$JS.API.CONSUMER.MSG.NEXT.{WK}.pool",
        f"$JS.ACK.{WK}.pool.>",
        "sw.squall.res.*.*",
        "sw.squall.try.agent-1.*.*",
        f"$JS.API.DIRECT.GET.{TRY}.sw.squall.try.agent-1.*.*",
        "sw.squall.hb.agent.agent-1",
    ),
    subscribe=("_INBOX.agent-1.>", "sw.squall.feed.>"),
)
"""What a peer may do beside its links."""


@pytest.mark.parametrize("neighbours", [0, 2])
def test_a_peer_may_do_what_is_its_own_and_reach_its_neighbours(neighbours: int) -> None:
    topology = mesh("squall", agents=5, neighbours=neighbours, seed=7)
    names = [node.name for node in topology.of_role("agent")]
    mine = topology.permissions["agent-1"]
    others = linked(names, neighbours, 7)["agent-1"]
    said = (
        {V.link("agent-1", other, "*") for other in others} if neighbours else {V.link("agent-1", "*", "*")}
    )
    heard = (
        {V.told(other, "agent-1", "*") for other in others} if neighbours else {V.told("*", "agent-1", "*")}
    )
    assert {*mine.publish} == {*OWN.publish} | said
    assert {*mine.subscribe} == {*OWN.subscribe} | heard


def test_only_its_own_are_imported_and_a_question_for_many_may_be_answered_by_many() -> None:
    topology = mesh("squall", agents=3)
    for node in topology.of_role("agent"):
        mine = topology.permissions[node.name]
        wanted = {*mine.publish, *mine.subscribe} - {f"_INBOX.{node.name}.>"}
        assert {each.subject for each in topology.imports[node.name]} == wanted
    many = {offered.subject for offered in topology.exports if offered.many_answers}
    assert many == {fetch(LOG), f"$JS.API.CONSUMER.MSG.NEXT.{WK}.pool"}


def joins_so_that(neighbours: int, joined: int, left: str = "") -> Topology:
    """A mesh of six from the start, which one has left, and that so many have joined."""
    topology = mesh("squall", agents=6, neighbours=neighbours, seed=3, joins=3)
    topology = topology.without_node(left) if left else topology
    for number in range(7, 7 + joined):
        topology = topology.with_node(Node(f"agent-{number}", "agent", isolated=True))
    return topology


@pytest.mark.parametrize("left", ["", "agent-2"])
@pytest.mark.parametrize("joined", [1, 2, 3])
@pytest.mark.parametrize("neighbours", [2, 3, 4])
def test_who_joins_a_partial_mesh_reaches_its_neighbours_and_nobody_else(
    neighbours: int, joined: int, left: str
) -> None:
    topology = joins_so_that(neighbours, joined, left)
    names = [node.name for node in topology.of_role("agent")]
    spec = MeshSpec(agents=6, neighbours=neighbours, seed=3)
    for a, b in itertools.permutations(names, 2):
        says = any(matches(right, V.link(a, b, "ping")) for right in topology.permissions[a].publish)
        hears = any(matches(right, V.told(b, a, "ack")) for right in topology.permissions[a].subscribe)
        assert says == hears == (b in neighbours_of(spec, a, names)), (a, b)
    first = [name for name in names if int(name[-1]) <= 6]
    for name in names[len(first) :]:
        mine = neighbours_of(spec, name, [f"agent-{number}" for number in range(1, 7)])
        assert len(mine) == neighbours
        assert {*neighbours_of(spec, name, names)} == {*mine} & {*first}


@pytest.mark.parametrize("neighbours", [2, 3])
def test_what_who_joins_needs_of_the_others_their_accounts_say_from_the_start(neighbours: int) -> None:
    before, after = joins_so_that(neighbours, 0), joins_so_that(neighbours, 2)
    assert {*after.exports} == {*before.exports}
    for node in before.nodes:
        assert after.permissions[node.name] == before.permissions[node.name]
    assert before.links == after.without_node("agent-8").without_node("agent-7").links


@pytest.mark.parametrize("neighbours", [0, 3])
def test_who_joins_unforeseen_needs_nothing_that_core_does_not_offer(neighbours: int) -> None:
    topology = mesh("squall", agents=6, neighbours=neighbours)
    grown = topology.with_node(Node("agent-7", "agent", isolated=True))
    assert {*grown.exports} == {*topology.exports}
    assert all(grown.permissions[node.name] == topology.permissions[node.name] for node in topology.nodes)
    links = [subject for subject in grown.permissions["agent-7"].publish if ".link." in subject]
    assert links == ([] if neighbours else [V.link("agent-7", "*", "*")])


def test_nobody_but_the_registrar_may_write_an_epoch_and_nobody_a_task_or_the_feed() -> None:
    topology = mesh("squall", agents=3)
    for (name, rights), subject in itertools.product(
        topology.permissions.items(), (V.epochs, V.task("k", "t"), V.fed(V.epochs), V.told("a", "b", "c"))
    ):
        may = any(matches(pattern, subject) for pattern in rights.publish)
        assert may == (name == "registrar" and subject == V.epochs), (name, subject)
