"""Stages: what is copied where, what one is given of another, and the default workload in four functions."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from squall.bus.codec import encode
from squall.bus.errors import DecodeError
from squall.bus.messages import RunTask, TaskResult
from squall.bus.queue import Pacing
from squall.bus.stages import DEAD_BEFORE, STAGES_MAX, Stages, at_stage, read_done
from squall.bus.subjects import Subjects, lane_for, lane_of
from squall.bus.topology.link import Node
from squall.bus.topology.ring import next_number, of_stage, ring, stage_of
from squall.services.errors import SpecError
from squall.services.handlers import Result, Task
from squall.services.handlers.loading import load
from squall.services.patterns import ring as pattern
from squall.services.patterns.lane_members import Members, changed
from squall.services.patterns.ring import RingSpec
from squall.services.trading import pipeline
from squall.services.trading.orders import Order
from squall.services.trading.strategies import TradingTask
from squall.services.trading.strategies import order as in_one_go
from squall.services.trading.workload import independent

SWARM = Subjects("demo")
CHAIN = Stages(swarm=SWARM, count=3)


def test_each_stage_is_fed_from_the_registers_of_the_one_before() -> None:
    made = {config["name"]: config for config in CHAIN.streams(queue_bytes_max=1, register_bytes_max=2)}
    assert [*made] == ["DEMO_S1", "DEMO_D1", "DEMO_S2", "DEMO_D2", "DEMO_S3"]
    fed = {name: config["sources"][0] for name, config in made.items() if "sources" in config}
    assert {name: (source["name"], source["subject_transforms"]) for name, source in fed.items()} == {
        "DEMO_S1": (
            "DEMO_IN",
            [{"src": "sw.demo.in.*.*.*", "dest": "sw.demo.s1.{{partition(100,2)}}.{{wildcard(3)}}"}],
        ),
        "DEMO_S2": (
            "DEMO_D1",
            [{"src": "sw.demo.d1.*.*", "dest": "sw.demo.s2.{{wildcard(1)}}.{{wildcard(2)}}"}],
        ),
        "DEMO_S3": (
            "DEMO_D2",
            [{"src": "sw.demo.d2.*.*", "dest": "sw.demo.s3.{{wildcard(1)}}.{{wildcard(2)}}"}],
        ),
    }
    assert CHAIN.done(3) == "RES"
    assert CHAIN.register(3, "7", "t") == SWARM.register("7", "t")
    assert lane_of(CHAIN.tasks(2, "7", "t")) == "7"


def test_the_queue_of_a_stage_counts_attempts_for_all_of_its_instances() -> None:
    one, other = CHAIN.queue(2, "agent-2"), CHAIN.queue(2, "agent-5")
    assert (one.marks, other.marks) == ("s2", "s2")
    assert one.delivers(CHAIN.tasks(2, "99", "t"))
    assert not one.delivers(CHAIN.tasks(1, "99", "t"))
    assert one.register("4", "t") == "sw.demo.d2.4.t"


def test_lanes_are_filters_and_filters_lanes() -> None:
    lanes = CHAIN.lanes(2, Pacing(), pending_max=8)
    some = frozenset({"0", "42", "99"})
    assert lanes.lanes(lanes.filters("agent-2", some)) == some
    assert lanes.filters("agent-2", ()) == ["sw.demo.s2.none-agent-2.*"]
    assert lanes.lanes(lanes.filters("agent-2", ())) == frozenset()
    assert len(lanes.lanes(())) == 100


def test_a_register_is_the_task_of_the_next_stage_and_a_dead_one_is_passed_on() -> None:
    done = TaskResult(task="t", key="k", job="j", number=3, status="ok", value=b"more", effects=(b"x",))
    task, ended = read_done(encode(at_stage(done, 1, 3)))
    assert (task, ended) == (RunTask(task="t", key="k", job="j", number=3, body=b"more"), "")
    assert at_stage(done, 3, 3).effects == (b"x",)
    assert at_stage(done, 2, 3).effects == ()
    dead = msgspec.structs.replace(done, status="dead", reason="why", effects=())
    assert read_done(encode(dead))[1] == f"{DEAD_BEFORE}why"
    passed = msgspec.structs.replace(dead, reason=f"{DEAD_BEFORE}why")
    assert read_done(encode(passed))[1] == f"{DEAD_BEFORE}why"
    with pytest.raises(DecodeError):
        read_done(b"junk")


def test_instances_are_dealt_to_stages_in_turn_and_reach_their_own_stage_only() -> None:
    topology = ring("demo", stages=3, instances=2)
    assert [stage_of(f"agent-{n}", 3) for n in range(1, 7)] == [1, 2, 3, 1, 2, 3]
    assert sorted(topology.permissions["agent-5"].publish) == sorted(
        (
            "$JS.API.CONSUMER.MSG.NEXT.DEMO_S2.agent-5",
            "$JS.ACK.DEMO_S2.agent-5.>",
            "$JS.API.DIRECT.GET.DEMO_S2",
            "$JS.API.DIRECT.GET.DEMO_RING.sw.demo.ring.breaker.s2",
            "sw.demo.d2.*.*",
            "sw.demo.try.s2.*.*",
            "$JS.API.DIRECT.GET.DEMO_TRY.sw.demo.try.s2.*.*",
            "sw.demo.hb.agent.agent-5",
        )
    )
    assert "sw.demo.res.*.*" in topology.permissions["agent-6"].publish
    router = topology.permissions["router-1"]
    assert {f"$JS.API.CONSUMER.CREATE.DEMO_S{n}.*" for n in (1, 2, 3)} <= {*router.publish}
    assert "sw.demo.hb.agent.*" in router.subscribe
    assert not [subject for subject in router.publish if subject.startswith(("sw.demo.s", "sw.demo.d1"))]


@pytest.mark.parametrize("wrong", [(0, 1, 1), (1, 0, 1), (1, 1, 0), (STAGES_MAX + 1, 1, 1)])
def test_a_ring_needs_one_of_everything_and_has_so_many_stages_at_most(wrong: tuple[int, int, int]) -> None:
    stages, instances, routers = wrong
    with pytest.raises(ValueError, match="a ring"):
        ring("demo", stages=stages, instances=instances, routers=routers)


def test_the_stages_come_to_the_same_order_as_one_handler() -> None:
    stages = [load(name) for name in pipeline.STAGES]

    async def through(body: bytes) -> Order:
        result = Result()
        for stage in stages:
            given = Task(id="t", key="k", job="j", number=1, attempt=1, deadline_s=0.0, body=body)
            result = await stage(given)
            body = result.value
        [made] = result.effects
        assert isinstance(made, Order)
        return made

    for submission in independent(7, 400, accounts=40):
        expected = in_one_go(msgspec.msgpack.decode(submission.body, type=TradingTask))
        assert asyncio.run(through(submission.body)) == expected


def test_each_instance_has_the_handler_of_its_stage_or_the_last_one_that_of_all() -> None:
    spec = RingSpec(agents=4)
    assert [pattern.handling(spec, f"agent-{n}").name for n in range(1, 5)] == [*pipeline.STAGES]
    own = RingSpec(agents=4, handler="mine:decide")
    assert [pattern.handling(own, f"agent-{n}").name for n in range(1, 5)] == [pipeline.PASS_ON] * 3 + [
        "mine:decide"
    ]
    assert pattern.handling(own, "handler").name == "mine:decide"


def test_agents_that_cannot_be_shared_by_the_stages_are_refused() -> None:
    with pytest.raises(SpecError, match="cannot be shared"):
        pattern.check(RingSpec(agents=6))
    pattern.check(RingSpec(agents=12))


def test_consumers_begin_with_the_lanes_of_the_first_route() -> None:
    spec = RingSpec(swarm="demo", agents=8)
    made = pattern.consumers(spec, pattern.topology(spec))
    assert [consumer.name for consumer in made if consumer.stream == "DEMO_S3"] == ["agent-3", "agent-7"]
    lanes = [len(consumer.config["filter_subjects"]) for consumer in made[:-1]]
    assert sum(lanes) == 4 * 100
    assert min(lanes) > 20
    assert lane_for("k").isdecimal()


def test_who_joins_has_a_consumer_from_whoever_moves_lanes_and_no_stage_is_left_empty() -> None:
    spec = RingSpec(swarm="demo", agents=8, joins_at_s=(1.0,))
    first = pattern.topology(spec)
    joined = first.with_node(Node("agent-9", "agent", isolated=True))
    assert pattern.consumers(spec, joined) == pattern.consumers(spec, first)
    assert "$JS.API.CONSUMER.MSG.NEXT.DEMO_S1.agent-9" in joined.permissions["agent-9"].publish
    assert joined.exports == first.exports  # a broker that is given others forgets every pull
    with pytest.raises(SpecError, match="cannot join"):
        pattern.consumers(spec, first.with_node(Node("agent-99", "agent", isolated=True)))
    with pytest.raises(SpecError, match="stage 1 would have no instance"):
        pattern.consumers(spec, first.without_node("agent-1").without_node("agent-5"))
    with pytest.raises(SpecError, match="would leave that the swarm began with"):
        pattern.check(RingSpec(agents=8, joins_at_s=(2.0,), leaves_at_s=(1.0,)))


def test_who_joins_is_of_the_stage_with_the_fewest_and_has_a_number_that_nobody_had() -> None:
    names = [f"agent-{number}" for number in range(1, 9)]
    assert next_number(names, 9, 4) == 9
    assert next_number([*names, "agent-9"], 10, 4) == 10
    assert next_number(names, 10, 4) == 13  # agent-9 has left
    assert next_number([name for name in names if name != "agent-7"], 9, 4) == 11
    assert [*of_stage([*names, "agent-13", "agent-10"], 1, 4)] == ["agent-1", "agent-5", "agent-13"]


def test_the_record_of_members_says_each_change_once() -> None:
    first = Members(epoch=0, names=("agent-1", "agent-2"))
    more = changed(first, "agent-10", member=True)
    assert (more.epoch, more.names) == (1, ("agent-1", "agent-2", "agent-10"))
    assert changed(more, "agent-10", member=True) is more
    assert changed(more, "agent-3", member=False) is more
    assert changed(more, "agent-1", member=False).names == ("agent-2", "agent-10")
