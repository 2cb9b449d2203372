"""How much is shed, in which words, and which files say it in vain."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.bus.stages import diverted_from
from squall.bus.subjects import matches
from squall.bus.topology.ring import ring
from squall.services.errors import SpecError
from squall.services.patterns.ring import RingSpec, chain, check, streams, topology
from squall.services.rules.shedding import BATCH_MAX, Policy, Shed, excess, low_mark, read_reason, reason


@pytest.mark.parametrize(
    ("waiting", "mark", "shed"),
    [(0, 0, 0), (10**6, 0, 0), (99, 100, 0), (100, 100, 0), (101, 100, 11), (200, 100, 110), (2, 1, 2)],
)
def test_nothing_is_shed_up_to_the_mark_and_above_it_down_to_the_lower(
    waiting: int, mark: int, shed: int
) -> None:
    assert excess(waiting, mark) == shed


def test_of_very_many_some_are_shed_at_a_time() -> None:
    assert excess(10**6, 100) == BATCH_MAX


@given(mark=st.integers(1, 10**6), arrivals=st.lists(st.integers(0, 2000), max_size=50))
def test_whatever_comes_no_more_waits_than_may_but_for_what_has_just_come(
    mark: int, arrivals: list[int]
) -> None:
    waiting = 0
    for came in arrivals:
        waiting += came
        while shed := excess(waiting, mark):
            assert waiting > mark or waiting > low_mark(mark)
            waiting -= shed
            assert waiting >= low_mark(mark)
        assert waiting <= mark


@given(st.builds(Shed, st.integers(1, 10**7), st.integers(1, 9), st.integers(1, 10**7), st.booleans()))
def test_a_reason_says_what_it_was_made_of(shed: Shed) -> None:
    assert read_reason(reason(shed)) == shed


@pytest.mark.parametrize(
    "text", ["", "the handler failed", "shed: it was among the oldest", reason(Shed(9, 1, 5)) + "."]
)
def test_other_reasons_say_nothing_of_it(text: str) -> None:
    assert read_reason(text) is None


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"backlog_max": 5}, "reject-new sheds nothing"),
        ({"shed": "drop-oldest"}, "how many may wait"),
        ({"shed": "divert"}, "divert needs to know how many may wait"),
        ({"shed": "divert", "backlog_max": 5, "breaker": "off"}, "breakers are off"),
        ({"shed": "drop-oldest", "backlog_max": 5, "breaker": "off"}, "breakers are off"),
        ({"shed": "drop-oldest", "backlog_max": 5, "breaker": "observe"}, "breakers are observe"),
    ],
)
def test_what_cannot_shed_is_refused_in_a_sentence(more: dict[str, Any], why: str) -> None:
    with pytest.raises(SpecError, match=why):
        check(RingSpec(**more))


def test_a_router_may_end_tasks_only_where_tasks_are_shed() -> None:
    def of_router(spec: RingSpec) -> set[str]:
        return {*topology(spec).permissions["router-1"].publish}

    more = of_router(RingSpec(shed="drop-oldest", backlog_max=5)) - of_router(RingSpec())
    assert any(".d3." in right for right in more)
    assert not any(".div." in right for right in more)
    aside = of_router(RingSpec(shed="divert", backlog_max=5)) - of_router(RingSpec()) - more
    assert aside == {"sw.squall.div.*.*.*"}
    assert any("PURGE" in right and right.endswith("_S3") for right in more) or more
    assert (
        ring("s", stages=2, instances=1).permissions["agent-1"]
        == ring("s", stages=2, instances=1, sheds=True).permissions["agent-1"]
    )


def test_what_is_set_aside_has_a_stream_with_bounds_where_the_file_says_so() -> None:
    def made(shed: Policy, mark: int) -> dict[str, Any]:
        return {each["name"]: each for each in streams(RingSpec(shed=shed, backlog_max=mark))}

    (name,) = made("divert", 5).keys() - made("drop-oldest", 5).keys()
    stream = made("divert", 5)[name]
    assert (stream["discard"], stream["max_bytes"]) == ("new", RingSpec().diverted_bytes_max)
    assert all(matches(each, chain(RingSpec()).diverted(3, "7", "a-1")) for each in stream["subjects"])


@pytest.mark.parametrize("stage", [1, 9])
def test_where_a_task_is_set_aside_says_its_stage(stage: int) -> None:
    assert diverted_from(chain(RingSpec()).diverted(stage, "7", "a-1")) == stage
