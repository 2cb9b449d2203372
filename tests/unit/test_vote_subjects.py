"""The subjects of peers that vote, and what their messages must keep to."""

from __future__ import annotations

import msgspec
import pytest

from squall.bus.codec import decode, encode
from squall.bus.errors import DecodeError, InvalidNameError
from squall.bus.keys import user_key
from squall.bus.messages import Message
from squall.bus.subjects import ANY, Subjects, matches
from squall.bus.vote_messages import (
    GOSSIP_MAX,
    Ack,
    EpochRecord,
    JoinRoster,
    Member,
    Ping,
    Propose,
    Rumour,
    Vote,
)
from squall.bus.vote_subjects import VoteSubjects, Written

V = VoteSubjects(Subjects("squall"))
KEY = user_key().public


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        (V.epochs, Written("cfg")),
        (V.trimmed, Written("trim")),
        (V.task("abc", "t-1"), Written("task", key="abc", task="t-1")),
        (V.proposal("agent-1", "t-1", 2), Written("prop", peer="agent-1", task="t-1", attempt=2)),
        (V.vote("agent-1", "t-1", 1), Written("vote", peer="agent-1", task="t-1", attempt=1)),
        (V.closing("agent-1", "t-1", 1), Written("close", peer="agent-1", task="t-1", attempt=1)),
        (V.decision("a", "k", "t-1", 12), Written("dec", peer="a", key="k", task="t-1", attempt=12)),
    ],
)
def test_a_subject_of_the_log_is_read_as_it_was_built(subject: str, said: Written) -> None:
    assert V.read(subject) == said
    assert matches(V.everything, subject)
    assert matches(V.feed, V.fed(subject))
    assert any(matches(removable, subject) for removable in V.removable) == (subject != V.epochs)


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "cfg.x",
        "vote.a.t",
        "vote.a.t.0",
        "vote.a.t.01",
        "vote.a.t.٣",
        "vote.a.t.99999",
        "dec.a.t.1",
        "task.k",
    ],
)
def test_other_subjects_are_none_of_the_log(rest: str) -> None:
    assert V.read(f"sw.squall.log.{rest}") is None
    assert V.read(f"sw.other.log.{rest}") is None


@pytest.mark.parametrize("name", ["", "a.b", "*.x", "A", "a b", ">x", "{{name()}}x"])
def test_no_token_smuggles_dots_or_wildcards(name: str) -> None:
    with pytest.raises(InvalidNameError):
        V.vote(name, "t", 1)
    with pytest.raises(InvalidNameError):
        V.link("a", name, ANY)


def _member(name: str) -> Member:
    return Member(name=name, key=KEY)


@pytest.mark.parametrize(
    "message",
    [
        EpochRecord(epoch=1, members=(_member("a"), _member("b"))),
        Propose(epoch=1, effects=(b"x",)),
        Vote(epoch=1, proposal=7, verdict="yes", signature=b"s" * 64),
        Ping(number=1, incarnation=2, gossip=(Rumour(node="b", condition="suspect", incarnation=1, by="a"),)),
    ],
)
def test_messages_survive_the_wire(message: Message) -> None:
    assert decode(encode(message), type(message)) == message


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (EpochRecord, {"kind": "epoch", "epoch": 0, "members": [{"name": "a", "key": KEY}]}),
        (EpochRecord, {"kind": "epoch", "epoch": 1, "members": []}),
        (EpochRecord, {"kind": "epoch", "epoch": 1, "members": [{"name": "A.*", "key": KEY}]}),
        (EpochRecord, {"kind": "epoch", "epoch": 1, "members": [{"name": "a", "key": "U" + "a" * 55}]}),
        (EpochRecord, {"kind": "epoch", "epoch": 1, "members": 2 * [{"name": "a", "key": KEY}]}),
        (Vote, {"kind": "vote", "epoch": 1, "proposal": 1, "verdict": "maybe"}),
        (Vote, {"kind": "vote", "epoch": 1, "proposal": 1, "verdict": "yes", "confidence": 2.0}),
        (Vote, {"kind": "vote", "epoch": 1, "proposal": 1, "verdict": "yes", "signature": b"s" * 65}),
        (Ack, {"kind": "ack", "number": 1, "node": "a", "incarnation": 1, "gossip": [{}]}),
        (
            Ping,
            {
                "kind": "ping",
                "number": 1,
                "incarnation": 1,
                "gossip": (GOSSIP_MAX + 1)
                * [{"node": "a", "condition": "alive", "incarnation": 1, "by": "a"}],
            },
        ),
        (JoinRoster, {"kind": "join-roster", "member": {"name": "a", "key": KEY, "weight": 0}, "token": "t"}),
    ],
)
def test_what_passes_its_bounds_is_no_message(kind: type[Message], said: object) -> None:
    with pytest.raises(DecodeError):
        decode(msgspec.msgpack.encode(said), kind)
