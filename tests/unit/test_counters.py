"""What nodes say of their counts is kept, within bounds, of the starts that there were alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest

from squall.bus.codec import encode
from squall.bus.messages import Heartbeat
from squall.services.run import counters as counters_module
from squall.services.run.counters import COUNTERS, NAMES_MAX, Counters
from squall.services.run.directory import RunDirectory


@dataclass
class Message:
    subject: str
    data: bytes


@pytest.fixture(autouse=True)
def every_heartbeat_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters_module, "READ_EVERY_S", 0.0)


def beat(subject: str, incarnation: int = 1, node: str = "agent-1", **counts: int) -> Message:
    heartbeat = Heartbeat(role="agent", node=node, incarnation=incarnation, counters=counts)
    return Message(f"sw.s.hb.{subject}", encode(heartbeat))


def kept(tmp_path: Path, *messages: Message) -> dict[tuple[str, int], dict[str, int]]:
    counters = Counters(RunDirectory(tmp_path), dict)
    counters.started("agent-1", "agent", 1)
    counters.started("agent-1", "agent", 2)
    counters.started("agent-2", "agent", 1)
    for message in messages:
        counters.hear(message)
    counters.write()
    rows = [msgspec.json.decode(line) for line in (tmp_path / COUNTERS).read_bytes().splitlines()]
    return {(row["node"], row["incarnation"]): row["counters"] for row in rows if row["node"] != "squall"}


def test_the_newest_counts_of_each_start_are_kept(tmp_path: Path) -> None:
    heard = [beat("agent.agent-1", done=3), beat("agent.agent-1", 2, done=1), beat("agent.agent-1", done=5)]
    assert kept(tmp_path, *heard) == {("agent-1", 1): {"done": 5}, ("agent-1", 2): {"done": 1}}


def test_the_fastest_heartbeat_tells_of_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counters = Counters(RunDirectory(tmp_path), dict)
    counters.started("agent-1", "agent", 1)
    for sent_s, heard_s in ((100.0, 100.4), (101.0, 101.001), (102.0, 102.2)):
        monkeypatch.setattr(counters_module.time, "time", lambda now=heard_s: now)
        heartbeat = Heartbeat(role="agent", node="agent-1", incarnation=1, time_s=sent_s)
        counters.hear(Message("sw.s.hb.agent.agent-1", encode(heartbeat)))
    counters.write()
    row = msgspec.json.decode((tmp_path / COUNTERS).read_bytes().splitlines()[0])
    assert row["ahead_s"] == pytest.approx(-0.001)


def test_a_count_that_is_taken_back_stays(tmp_path: Path) -> None:
    heard = [beat("agent.agent-1", violations=3), beat("agent.agent-1", violations=0), beat("agent.agent-1")]
    assert kept(tmp_path, *heard) == {("agent-1", 1): {"violations": 3}}


def test_the_subject_says_who_it_is_and_not_the_content(tmp_path: Path) -> None:
    assert kept(tmp_path, beat("agent.agent-2", node="agent-1", done=7)) == {("agent-2", 1): {"done": 7}}


@pytest.mark.parametrize(
    "message",
    [
        beat("agent.agent-1", 3, done=1),
        beat("agent.agent-9", done=1),
        beat("coordinator.agent-1", done=1),
        Message("sw.s.hb.agent.agent-1", b"\xc1"),
        Message("sw.s.hb.agent.agent-1", b""),
    ],
    ids=["a start there was not", "a node there is not", "another role", "no message", "nothing"],
)
def test_what_nobody_of_the_swarm_can_have_sent_is_left_out(message: Message, tmp_path: Path) -> None:
    assert kept(tmp_path, message) == {}


def test_the_names_of_one_start_are_bounded_and_can_be_printed(tmp_path: Path) -> None:
    heard = [beat("agent.agent-1", done=1, **{"a b": 1, "\x1b[2J": 1, "ä": 1})]
    heard += [
        beat("agent.agent-1", **{f"n{n}": n for n in range(first, first + 50)}) for first in (0, 50, 100)
    ]
    counts = kept(tmp_path, *heard)["agent-1", 1]
    assert (len(counts), counts["done"]) == (NAMES_MAX, 1)
    assert all(name.isascii() and name.isidentifier() for name in counts)


def test_what_all_starts_of_a_role_have_counted_is_added_up(tmp_path: Path) -> None:
    counters = Counters(RunDirectory(tmp_path), dict)
    counters.started("agent-1", "agent", 1)
    counters.started("agent-1", "agent", 2)
    counters.started("hub-1", "hub", 1)
    for message in (beat("agent.agent-1", absent=3), beat("agent.agent-1", 2, absent=4)):
        counters.hear(message)
    counters.hear(Message("sw.s.hb.hub.hub-1", encode(Heartbeat(role="hub", node="hub-1", incarnation=1))))
    assert (counters.total("agent", "absent"), counters.total("hub", "absent")) == (7, 0)
