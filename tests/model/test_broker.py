"""Rules that the differential test does not reach: rights, accounts, silence, ends, and what is unknown."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from tests.model.virtual import VirtualClock

from squall.bus.subjects import Subjects
from squall.bus.topology.hierarchical import hierarchical
from squall.bus.topology.mesh import mesh
from squall.bus.topology.rights import Import
from squall.bus.topology.star import star
from squall.bus.vote_log import link_stream_config
from squall.bus.vote_subjects import VoteSubjects
from squall.chaos.model.broker import Broker
from squall.chaos.model.clock import Alarms
from squall.chaos.model.errors import Unmodelled
from squall.chaos.model.frames import Denied, End, Headers, Msg, Ping, Pong, Pub, Sub, ToClient, Unsub
from squall.chaos.model.progress import Progress
from squall.chaos.model.rights import Rights, rights_of
from squall.chaos.model.sessions import Session
from squall.chaos.model.stamps import length, rfc3339
from squall.chaos.model.subjects import SubjectIndex, collide, covers, matcher

S = 10**9


class Client:
    """Somebody who talks to a broker, and keeps what is said."""

    def __init__(self, broker: Broker, name: str = "somebody", rights: Rights | None = None) -> None:
        self.said: list[ToClient] = []
        self.session: Session = broker.connect(name, rights or Rights(), self.said.append)
        self._asked = 0

    def heard(self) -> list[ToClient]:
        said, self.said[:] = list(self.said), []
        return said

    def listen(self, sid: int, subject: str) -> None:
        self.session.receive(Sub(sid, subject))

    def publish(self, subject: str, data: bytes = b"", reply: str = "", headers: Headers = None) -> None:
        self.session.receive(Pub(subject, reply, headers, data))

    def ask(self, subject: str, body: Any = b"", headers: Headers = None) -> Any:
        """The answer, as JSON where it is some."""
        self._asked += 1
        reply = f"_INBOX.{self.session.name}.nonce.{self._asked}"
        self.listen(900, reply)
        self.publish(subject, body if isinstance(body, bytes) else json.dumps(body).encode(), reply, headers)
        answers = [each for each in self.said if isinstance(each, Msg) and each.sid == 900]
        self.said[:] = [each for each in self.said if each not in answers]
        self.session.receive(Unsub(900))
        if not answers:
            return None
        return json.loads(answers[0].data) if answers[0].data[:1] == b"{" else answers[0].headers


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def broker(clock: VirtualClock) -> Broker:
    return Broker(clock, random.Random(1), epoch_s=1_700_000_000.0, ping_s=0)


def made(broker: Broker, stream: dict[str, Any], **consumers: dict[str, Any]) -> Client:
    client = Client(broker)
    assert "error" not in client.ask(f"$JS.API.STREAM.CREATE.{stream['name']}", stream)
    for name, config in consumers.items():
        request = {"stream_name": stream["name"], "config": {"name": name, **config}}
        assert "error" not in client.ask(f"$JS.API.CONSUMER.CREATE.{stream['name']}.{name}", request)
    return client


# Subjects.


@pytest.mark.parametrize(
    ("pattern", "subject", "falls"),
    [
        ("a.b", "a.b", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.*", "a", False),
        ("a.>", "a.b.c", True),
        ("a.>", "a", False),
        (">", "a", True),
        ("*", "a", True),
        ("*.b", "a.b", True),
        ("*.>", "a", False),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.b.d", False),
        ("a+.*", "a+.b", True),
        ("a.b", "axb", False),
    ],
)
def test_an_index_finds_what_a_pattern_matches(pattern: str, subject: str, falls: bool) -> None:
    index: SubjectIndex[str] = SubjectIndex()
    index.add(pattern, "it")
    index.add("other.>", "other")
    assert bool(matcher(pattern)(subject)) is falls
    assert list(index.find(subject)) == (["it"] if falls else [])
    index.remove(pattern, "it")
    assert list(index.find(subject)) == []


@pytest.mark.parametrize(
    ("one", "other", "covered", "collides"),
    [
        ("a.>", "a.b", True, True),
        ("a.b", "a.>", False, True),
        ("a.*", "a.*", True, True),
        ("a.*", "a.>", False, True),
        ("a.*.c", "a.b.*", False, True),
        ("a.*", "b.*", False, False),
        ("a.*", "a.b.c", False, False),
        (">", "a", True, True),
    ],
)
def test_what_covers_and_what_collides(one: str, other: str, covered: bool, collides: bool) -> None:
    assert covers(one, other) is covered
    assert collide(one, other) is collide(other, one) is collides


@pytest.mark.parametrize(
    ("ns", "text"),
    [(5 * S, "5s"), (1_500_000_000, "1.5s"), (250_000_000, "250ms"), (90 * S, "1m30s"), (3600 * S, "1h0m0s")],
)
def test_lengths_are_in_the_words_of_the_server(ns: int, text: str) -> None:
    assert length(ns) == text


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_500_000_000, "1970-01-01T00:00:01.5Z"),
        (7, "1970-01-01T00:00:00.000000007Z"),
    ],
)
def test_dates_are_as_the_server_writes_them(ns: int, text: str) -> None:
    assert rfc3339(ns) == text


# Who may do what.

NODES = ("coordinator-1", "gateway", "agent-1", "agent-2", "producer", "observer", "launcher", "warden")

DOES = [
    ("producer", "sw.s.in.task.k", True),
    ("producer", "sw.s.job.term", False),
    ("coordinator-1", "sw.s.job.term", True),
    ("coordinator-1", "sw.s.cmd.agent-1.hold", True),
    ("coordinator-1", "$JS.API.STREAM.DELETE.S_JOB", False),
    ("agent-1", "sw.s.res.7.t1", True),
    ("agent-1", "sw.s.hb.agent.agent-1", True),
    ("agent-1", "sw.s.hb.agent.agent-2", False),
    ("agent-1", "sw.s.try.pool.3.t1", True),
    ("agent-1", "sw.s.in.task.k", False),
    ("agent-1", "$JS.API.CONSUMER.MSG.NEXT.S_WK.pool", True),
    ("agent-1", "$JS.API.CONSUMER.MSG.NEXT.S_RES.gateway", False),
    ("agent-1", "$JS.API.STREAM.INFO.S_WK", False),
    ("gateway", "$JS.API.CONSUMER.MSG.NEXT.S_RES.gateway", True),
    ("observer", "$JS.API.STREAM.INFO.S_WK", True),
    ("observer", "$JS.API.STREAM.PURGE.S_IN", False),
]


@pytest.mark.parametrize(("node", "subject", "may"), DOES)
def test_who_may_publish_what(broker: Broker, node: str, subject: str, may: bool) -> None:
    client = Client(broker, node, rights_of(hierarchical("s", agents=2), node))
    client.publish(subject)
    denied = [Denied(f'Permissions Violation for Publish to "{subject}"')]
    assert client.heard() == ([] if may else denied)


@pytest.mark.parametrize(
    ("node", "subject", "may"),
    [
        ("agent-1", "_INBOX.agent-1.x.r.*", True),
        ("agent-1", "_INBOX.agent-2.>", False),
        ("agent-1", "sw.s.cmd.agent-1.*", True),
        ("agent-1", "sw.s.cmd.*.*", False),
        ("agent-1", ">", False),
        ("coordinator-1", "sw.s.hb.*.*", False),
        ("coordinator-1", "sw.s.hb.agent.*", True),
        ("warden", "$JS.ACK.S_WK.pool.>", True),
    ],
)
def test_who_may_listen_where(broker: Broker, node: str, subject: str, may: bool) -> None:
    client = Client(broker, node, rights_of(hierarchical("s", agents=2), node))
    client.listen(1, subject)
    denied = [Denied(f'Permissions Violation for Subscription to "{subject}"')]
    assert client.heard() == ([] if may else denied)


def test_an_account_of_its_own_is_left_through_its_imports_alone(broker: Broker) -> None:
    topology = hierarchical("s", agents=2)
    agent = Client(broker, "agent-1", rights_of(topology, "agent-1"))
    other = Client(broker, "agent-2", rights_of(topology, "agent-2"))
    leader = Client(broker, "coordinator-1", rights_of(topology, "coordinator-1"))
    everybody = Client(broker, "anybody")
    leader.listen(1, "sw.s.hb.agent.*")
    agent.listen(2, "sw.s.cmd.agent-1.*")
    other.listen(3, "sw.s.cmd.agent-2.*")
    everybody.listen(4, "_INBOX.>")
    agent.publish("sw.s.hb.agent.agent-1", b"alive")
    (beat,) = leader.heard()
    assert isinstance(beat, Msg)
    assert (beat.sid, beat.data) == (1, b"alive")
    assert json.loads((beat.headers or {})["Nats-Request-Info"]) == {"acc": "agent-1"}
    leader.publish("sw.s.cmd.agent-1.hold", b"1")
    assert agent.heard() == [Msg(2, "sw.s.cmd.agent-1.hold", "", None, b"1")]
    assert other.heard() == everybody.heard() == []


def test_answers_find_the_way_back_into_an_account(broker: Broker) -> None:
    launcher = made(
        broker,
        {"name": "S_RES", "subjects": ["sw.s.res.*.*"]},
        pool={"ack_policy": "explicit", "durable_name": "pool"},
    )
    topology = hierarchical("s", agents=1)
    agent = Client(broker, "agent-1", rights_of(topology, "agent-1"))
    eavesdropper = Client(broker)
    eavesdropper.listen(1, "_INBOX.>")
    assert agent.ask("sw.s.res.1.t1", b"done") == {"stream": "S_RES", "seq": 1}
    assert eavesdropper.heard() == []
    assert launcher.ask("$JS.API.STREAM.MSG.GET.S_RES", {"seq": 1})["message"]["subject"] == "sw.s.res.1.t1"


def test_nobody_answers_where_no_import_leads(broker: Broker) -> None:
    """Where an agent may publish, but there is nothing yet."""
    agent = Client(broker, "agent-1", rights_of(star("s", agents=1), "agent-1"))
    subject = "$JS.API.CONSUMER.MSG.NEXT.S_WK.agent-1"
    assert agent.ask(subject) == {"Status": "503", "Nats-Subject": subject}


# Silence and ends.


def test_a_silent_client_is_asked_twice_and_then_cut_off(clock: VirtualClock) -> None:
    broker = Broker(clock, random.Random(1), ping_s=2.0, pings_max=2)
    client = Client(broker)
    clock.advance(2.5)
    assert client.heard() == [Ping()]
    client.session.receive(Pong())
    clock.advance(3.0)
    assert client.heard() == []
    clock.advance(12.0)
    assert client.heard() == [Ping(), Ping(), Denied("Stale Connection"), End()]
    assert broker.sessions == ()


def test_who_says_something_is_not_asked(clock: VirtualClock) -> None:
    broker = Broker(clock, random.Random(1), ping_s=2.0)
    client = Client(broker)
    for second in range(3, 30):
        client.publish("plain", b"x")
        clock.advance(float(second))
    assert client.heard() == [Ping()]  # the first, which measures


def test_ping_is_answered_after_what_was_asked_before(broker: Broker) -> None:
    client = Client(broker)
    client.listen(1, "plain")
    client.publish("plain", b"1")
    client.session.receive(Ping())
    assert client.heard() == [Msg(1, "plain", "", None, b"1"), Pong()]


def test_a_killed_broker_closes_and_refuses(broker: Broker) -> None:
    client = Client(broker)
    broker.kill()
    assert client.heard() == [End()]
    with pytest.raises(ConnectionRefusedError):
        Client(broker)
    broker.start()
    client.publish("plain", b"x")  # of a connection that has ended
    assert Client(broker).ask("$JS.API.STREAM.INFO.NONE")["error"]["err_code"] == 10059


def test_of_a_closed_connection_nothing_is_left(broker: Broker) -> None:
    one, other = Client(broker), Client(broker)
    one.listen(1, "plain.*")
    one.listen(2, "other.>")
    one.session.closed()
    assert other.ask("plain.a") == {"Status": "503", "Nats-Subject": "plain.a"}
    assert other.ask("other.a.b") == {"Status": "503", "Nats-Subject": "other.a.b"}


# What a killed process loses.


def test_what_was_just_acknowledged_may_be_forgotten() -> None:
    progress = Progress(explicit=True, durable=True, ack_wait_s=30.0, start=1)
    for seq, at_s in ((1, 0.0), (2, 1.0), (3, 1.05)):
        progress.deliver(seq, at_s)
    progress.acknowledge(1, 1.06, 4)
    progress.forget(1.055)
    assert (sorted(progress.pending), progress.delivered, progress.order) == ([1, 2, 3], 3, 4)
    progress.acknowledge(1, 1.06, 4)
    progress.deliver(4, 1.07)
    progress.forget(1.065)
    assert (sorted(progress.pending), progress.delivered, progress.order) == ([2, 3], 3, 4)


def test_what_is_forgotten_is_delivered_again_and_what_a_queue_was_rid_of_is_not(
    clock: VirtualClock, broker: Broker
) -> None:
    client = made(
        broker,
        {"name": "Q", "subjects": ["q.*"], "retention": "workqueue"},
        pool={"ack_policy": "explicit", "durable_name": "pool", "ack_wait": S},
    )
    for task in "ab":
        client.publish(f"q.{task}")
    client.listen(1, "box")
    clock.advance(1.0)
    client.publish("$JS.API.CONSUMER.MSG.NEXT.Q.pool", b"2", "box")
    first = next(each for each in client.heard() if isinstance(each, Msg))
    clock.advance(1.0001)
    client.publish(first.reply, b"+ACK")
    broker.jetstream.streams["Q"].consumers["pool"].progress.forget(0.99)
    broker.kill()
    broker.start()
    client = Client(broker)
    client.listen(1, "box")
    client.publish("$JS.API.CONSUMER.MSG.NEXT.Q.pool", b'{"batch":5,"expires":10000000000}', "box")
    clock.advance(5.0)
    again = [each for each in client.heard() if isinstance(each, Msg)]
    assert {each.subject for each in again} == {"q.b"}
    assert [each.reply.split(".")[4:7] for each in again[:2]] == [["1", "2", "1"], ["2", "2", "2"]]


def test_timers_of_a_killed_process_do_nothing(clock: VirtualClock) -> None:
    alarms, rung = Alarms(clock, 0.0), []
    alarms.after(1.0, rung.append, "first")
    alarms.silence()
    alarms.after(1.0, rung.append, "second")
    clock.advance(2.0)
    assert rung == ["second"]


# Slow sources, and what the world is told.


def test_sources_are_as_slow_as_the_world_wants(clock: VirtualClock, broker: Broker) -> None:
    client = made(broker, {"name": "A", "subjects": ["a.*"]})
    source = {"name": "A", "subject_transforms": [{"src": "a.*", "dest": "b.{{wildcard(1)}}"}]}
    client.ask("$JS.API.STREAM.CREATE.B", {"name": "B", "sources": [source]})
    clock.advance(1.0)
    broker.source_delay_s = (10.0, 11.0)
    client.publish("a.1")
    clock.advance(10.9)
    assert broker.jetstream.streams["B"].last == 0
    clock.advance(12.1)
    assert [each.subject for each in broker.jetstream.streams["B"].messages.values()] == ["b.1"]


def test_the_world_hears_of_each_store_and_delivery(broker: Broker) -> None:
    client = made(
        broker, {"name": "A", "subjects": ["a.*"]}, reader={"ack_policy": "none", "mem_storage": True}
    )
    stored: list[tuple[str, int]] = []
    delivered: list[tuple[str, int, int, str]] = []
    broker.on_store = lambda stream, message: stored.append((stream.name, message.seq))
    broker.on_deliver = lambda consumer, message, attempt, inbox: delivered.append(
        (consumer.name, message.seq, attempt, inbox)
    )
    client.listen(1, "box")
    client.publish("a.1")
    client.publish("$JS.API.CONSUMER.MSG.NEXT.A.reader", b"", "box")
    assert (stored, delivered) == ([("A", 1)], [("reader", 1, 1, "box")])
    assert broker.figures.stored == 1


# What the model does not know.


@pytest.mark.parametrize(
    ("subject", "body", "headers"),
    [
        ("$JS.API.STREAM.NAMES", b"", None),
        ("$JS.API.STREAM.UPDATE.A", b"{}", None),
        ("$JS.API.STREAM.INFO.A", {"deleted_details": True}, None),
        ("$JS.API.STREAM.CREATE.B", {"name": "B", "mirror": {"name": "A"}}, None),
        ("$JS.API.STREAM.CREATE.B", {"name": "B", "num_replicas": 3}, None),
        ("$JS.API.STREAM.CREATE.B", {"name": "B", "retention": "interest"}, None),
        ("$JS.API.CONSUMER.CREATE.A.c", {"stream_name": "A", "config": {"ack_policy": "all"}}, None),
        ("$JS.API.CONSUMER.CREATE.A.c", {"stream_name": "A", "config": {"deliver_subject": "x"}}, None),
        ("$JS.API.CONSUMER.MSG.NEXT.A.reader", {"batch": 1, "group": "g"}, None),
        ("$JS.API.DIRECT.GET.A", {}, None),
        ("$JS.API.DIRECT.GET.A", {"seq": 0, "batch": 2}, None),
        ("$JS.API.DIRECT.GET.A", {"seq": 1, "start_time": "now"}, None),
        ("$JS.API.DIRECT.GET.A", {"multi_last": ["a.*"]}, None),
        ("$JS.API.DIRECT.GET.A.a.1", {"seq": 1}, None),
        ("$JS.API.STREAM.MSG.GET.A", {"no_hdr": True}, None),
        ("$JS.API.STREAM.PURGE.A", b"{bad", None),
        ("$SYS.REQ.USER.INFO", b"", None),
        ("a.1", b"", {"Nats-Rollup": "sub"}),
        ("a.1", b"", {"Nats-TTL": "1s"}),
        ("a.1", b"", {"Nats-Expected-Last-Subject-Sequence": "many"}),
        ("a.*", b"", None),
    ],
)
def test_what_is_not_modelled_is_an_error_and_no_guess(
    broker: Broker, subject: str, body: Any, headers: Headers
) -> None:
    config = {"name": "A", "subjects": ["a.*"], "allow_direct": True}
    client = made(broker, config, reader={"ack_policy": "none", "mem_storage": True})
    with pytest.raises(Unmodelled):
        client.ask(subject, body, headers)


def test_what_a_peer_says_on_a_link_gets_to_the_other_by_way_of_a_stream(broker: Broker) -> None:
    """And in no other: what comes into CORE as a service goes nowhere as a stream (nats-server #8338)."""
    topology = mesh("squall", agents=3)
    votes = VoteSubjects(Subjects("squall"))
    one, two = (Client(broker, name, rights_of(topology, name)) for name in ("agent-1", "agent-2"))
    core = Client(broker)
    heard = Rights(account="agent-3", imports=(Import("sw.squall.link.>", "stream"),))
    direct = Client(broker, "agent-3", heard)
    direct.listen(1, "sw.squall.link.>")
    two.listen(1, votes.told("*", "agent-2", "*"))
    said = votes.link("agent-1", "agent-2", "ping")
    one.publish(said, b"to nobody")
    core.ask(f"$JS.API.STREAM.CREATE.{link_stream_config(votes)['name']}", link_stream_config(votes))
    one.publish(said, b"hello", "_INBOX.agent-1.x.y")
    one.publish(votes.link("agent-1", "agent-3", "ping"), b"not to two")
    core.publish(said, b"of core")
    assert [message.data for message in two.heard() if isinstance(message, Msg)] == [b"hello", b"of core"]
    assert [message.data for message in direct.heard() if isinstance(message, Msg)] == [b"of core"]
    assert one.heard() == []  # it keeps nothing, and answers nobody


def test_what_a_stream_would_say_into_another_is_unknown(broker: Broker) -> None:
    client = Client(broker)
    client.ask("$JS.API.STREAM.CREATE.A", {"name": "A", "subjects": ["a.>"]})
    again = {"src": "b.>", "dest": "a.>"}
    client.ask("$JS.API.STREAM.CREATE.B", {"name": "B", "subjects": ["b.>"], "republish": again})
    with pytest.raises(Unmodelled, match=r"a stream that stores what B says again on a\.x"):
        client.publish("b.x")
    said = client.ask(
        "$JS.API.STREAM.CREATE.C", {"name": "C", "subjects": ["c.>"], "republish": again | {"dest": "c.d.>"}}
    )
    assert "forms a cycle" in said["error"]["description"]
