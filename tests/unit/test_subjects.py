"""A star's subjects: each is built of checked names, and what the broker makes of one fits the next."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from squall.bus.errors import InvalidNameError
from squall.bus.subjects import ANY, REST, Seat, Subjects, lane_for, lane_of, last_token, matches

S = Subjects("s")


def test_a_seat_is_a_stream_and_three_of_its_subjects() -> None:
    assert S.hub_seat == S.seat("hub") == Seat("S_HUB", "sw.s.hub.term", "sw.s.hub.lease", "sw.s.hub.snap")
    assert S.coordinator_seat == Seat("S_JOB", "sw.s.job.term", "sw.s.job.lease", "sw.s.job.state")


def test_the_subjects_of_a_star() -> None:
    assert S.submit_in("pairs-es", "k", "t") == "sw.s.in.pairs-es.k.t"
    assert S.queued_in("pairs-es", "7", "k", "t") == "sw.s.wk.7.pairs-es.k.t"
    assert S.queued_in("pairs-es", ANY, ANY, ANY) == "sw.s.wk.*.pairs-es.*.*"
    assert S.request("agent-1", "t") == "sw.s.hub.req.agent-1.t"
    assert S.decision("t") == "sw.s.hub.dec.t"
    assert S.hub_dead("t") == "sw.s.hub.dead.t"


def test_a_task_of_the_class_close_is_no_end_of_a_job() -> None:
    assert S.is_close(S.close("j"))
    assert not S.is_close(S.submit_in("close", "k", "t"))


MAKERS: list[Callable[[str], str]] = [
    lambda name: S.submit_in(name, "k", "t"),
    lambda name: S.submit_in("c", name, "t"),
    lambda name: S.submit_in("c", "k", name),
    S.submissions_in,
    lambda name: S.queued_in(name, "7", "k", "t"),
    lambda name: S.queued_in("c", "7", name, "t"),
    lambda name: S.queued_in("c", "7", "k", name),
    lambda name: S.request(name, "t"),
    lambda name: S.request("agent-1", name),
    S.decision,
    S.hub_dead,
    lambda name: S.seat(name).term,
    lambda name: S.seat("hub", snapshot=name).snapshot,
]


@pytest.mark.parametrize("name", ["", "a.b", "a b", ">", "*.*", "A", "{{name}}", "x" * 41, "a\r\nPUB x"])
@pytest.mark.parametrize("make", MAKERS)
def test_what_is_no_name_reaches_no_subject(make: Callable[[str], str], name: str) -> None:
    with pytest.raises(InvalidNameError):
        make(name)


def transformed(transform: tuple[str, str], subject: str) -> str:
    """As the broker does it."""
    source, destination = transform
    assert matches(source, subject)
    wild = [
        given for wanted, given in zip(source.split("."), subject.split("."), strict=True) if wanted == "*"
    ]
    lane = re.sub(r"\{\{partition\(100,(\d)\)\}\}", lambda m: lane_for(wild[int(m[1]) - 1]), destination)
    return re.sub(r"\{\{wildcard\((\d)\)\}\}", lambda m: wild[int(m[1]) - 1], lane)


def test_the_broker_copies_each_task_to_where_it_is_looked_for() -> None:
    queued = transformed(S.class_transform, S.submit_in("pairs-es", "account-1", "t"))
    assert queued == S.queued_in("pairs-es", lane_for("account-1"), "account-1", "t")
    register = transformed(S.decision_transform, S.decision("t"))
    assert register == S.register(lane_for("t"), "t")
    assert (lane_of(register), last_token(register)) == (lane_for("t"), "t")
    assert transformed(S.hub_dead_letter_transform, S.hub_dead("t")) == S.dead_letter("hub", "t")


def test_all_of_a_hubs_subjects_lie_in_its_stream() -> None:
    seat = S.hub_seat
    assert S.hub.endswith(REST)
    for subject in (
        seat.term,
        seat.lease,
        seat.snapshot,
        S.request("a", "t"),
        S.decision("t"),
        S.hub_dead("t"),
    ):
        assert matches(S.hub, subject)
