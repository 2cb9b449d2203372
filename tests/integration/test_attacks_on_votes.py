"""What a hijacked peer can do with its real credentials: nothing that the broker refuses, or that counts.

Two tables. What is another's, or the broker's own, is refused, also where the broker is asked to say it. What
a peer may write is content, and whoever reads the log says of each record why it does not count; the honest
votes that follow decide as if it were not there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.integration.brokers import Peer, connected
from tests.integration.peers import LOG, SWARM, Peers, peers, write

from squall.bus import feed, roster
from squall.bus.codec import encode
from squall.bus.connection import Connection
from squall.bus.errors import ForbiddenError
from squall.bus.jetstream import call
from squall.bus.messages import RunTask
from squall.bus.roster import founding, joining, leaving
from squall.bus.signing import SigningKey, new_key, statement
from squall.bus.subjects import POOL, fetch, next_message
from squall.bus.tasks import wait_until
from squall.bus.vote_messages import Close, Decide, EpochRecord, Member, Propose, Vote
from squall.bus.vote_subjects import VoteSubjects
from squall.services.rules.vote_records import entry, verifier
from squall.services.rules.voting import Fold, Place

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

GIVE_UP_S = 30.0
DEADLINE_S = 0.3

# What the broker refuses.

ME, VICTIM = "agent-3", "agent-2"
API = "$JS.API"
STREAM, WK, RES, LINK = LOG.stream, SWARM.stream("WK"), SWARM.stream("RES"), SWARM.stream("LINK")
OTHER = VoteSubjects(type(SWARM)("other"))

FORBIDDEN_PUBLISHES = [
    # the log, where it is not this peer's
    LOG.epochs,
    LOG.task("k", "t"),
    LOG.proposal(VICTIM, "t", 1),
    LOG.vote(VICTIM, "t", 1),
    LOG.closing(VICTIM, "t", 1),
    LOG.decision(VICTIM, "k", "t", 1),
    LOG.trimmed,
    LOG.swarm.at("log", "snap"),
    f"{LOG.vote(ME, 't', 1)}.more",
    # what the broker says
    LOG.fed(LOG.vote(ME, "t", 1)),
    LOG.fed(LOG.vote(VICTIM, "t", 1)),
    LOG.fed(LOG.epochs),
    LOG.told(ME, VICTIM, "ping"),
    LOG.told(VICTIM, ME, "ping"),
    LOG.link(VICTIM, ME, "ping"),
    # what the broker copies
    SWARM.submit_in("c", "k", "t"),
    SWARM.queued("0", "k", "t"),
    # another swarm's
    OTHER.vote(ME, "t", 1),
    OTHER.fed(OTHER.vote(ME, "t", 1)),
    fetch(OTHER.stream),
    # another's
    SWARM.heartbeat("agent", VICTIM),
    SWARM.heartbeat("registrar", "registrar"),
    SWARM.command("registrar", "leave"),
    SWARM.reply("registrar", "token"),
    f"_INBOX.{VICTIM}.x",
    # administration
    *(f"{API}.STREAM.{verb}.{STREAM}" for verb in ("INFO", "PURGE", "DELETE", "UPDATE", "MSG.GET")),
    *(f"{API}.STREAM.{verb}.{LINK}" for verb in ("INFO", "PURGE", "DELETE", "UPDATE", "MSG.GET")),
    f"{API}.CONSUMER.CREATE.{STREAM}.evil",
    f"{API}.CONSUMER.CREATE.{STREAM}.{ME}.{LOG.everything}",
    f"{API}.CONSUMER.DELETE.{WK}.{POOL}",
    f"{fetch(STREAM)}.{LOG.epochs}",
    fetch(RES),
    fetch(WK),
]

FORBIDDEN_SUBSCRIPTIONS = [
    ">",
    "sw.>",
    LOG.everything,
    LOG.link("*", "*", "*"),
    LOG.told("*", VICTIM, "*"),
    LOG.told("*", "*", "*"),
    OTHER.feed,
    SWARM.command("registrar", "*"),
    SWARM.reply("*", "*"),
    SWARM.heartbeats,
    f"_INBOX.{VICTIM}.>",
]

TARGETS = [
    LOG.vote(VICTIM, "t", 1),
    LOG.fed(LOG.vote(VICTIM, "t", 1)),
    LOG.fed(LOG.epochs),
    LOG.epochs,
    LOG.told(VICTIM, "agent-1", "ping"),
    SWARM.command("registrar", "leave"),
    f"{API}.STREAM.DELETE.{STREAM}",
    f"{API}.STREAM.PURGE.{STREAM}",
]

CARRIERS = {
    "a vote": (LOG.vote(ME, "t", 1), b"content"),
    "a decision": (LOG.decision(ME, "k", "t", 1), b"content"),
    "a question for records": (fetch(STREAM), b'{"seq": 1, "batch": 100}'),
    "a question for the newest": (fetch(STREAM), b'{"last_by_subj": "%s"}' % LOG.everything.encode()),
    "a question that is none": (fetch(STREAM), b"{}"),
    "a pull": (next_message(WK, POOL), b'{"batch": 10, "no_wait": true}'),
    "a link": (LOG.link(ME, VICTIM, "ping"), b"content"),
    "a register": (SWARM.register("0", "t"), b"content"),
    "a heartbeat": (SWARM.heartbeat("agent", ME), b"content"),
}
"""What it may do. Each is done with each target for its reply."""


async def test_what_is_not_a_peers_own_is_refused(tmp_path: Path) -> None:
    async with peers(tmp_path) as p, p.connect(ME) as mine, p.connect("observer") as observer:
        for subject in FORBIDDEN_PUBLISHES:
            with pytest.raises(ForbiddenError):
                await mine.publish(subject, b"{}")
        for subject in FORBIDDEN_SUBSCRIPTIONS:
            with pytest.raises(ForbiddenError):
                await mine.subscribe(subject, lambda message: None)
        for stream in (STREAM, WK, RES, LINK):
            info = await call(observer, "STREAM", "INFO", stream)
            assert info["state"]["last_seq"] == 0


async def test_no_answer_of_the_broker_can_be_aimed_at_the_log_or_the_feed(tmp_path: Path) -> None:
    """Nor at anything else that is not the peer's: what it asks is answered in its own account."""
    async with (
        peers(tmp_path) as p,
        p.connect("registrar") as registrar,
        p.connect(VICTIM) as victim,
        connected(p.broker.url, p.authority.credentials(ME, None)) as mine,
    ):
        await roster.change(registrar, LOG, founding([Member(name=VICTIM, key=new_key().public)], "all"))
        heard: dict[str, list[tuple[str, bytes]]] = {"feed": [], "links": [], "commands": []}

        def hear(what: str) -> Callable[[Any], None]:
            return lambda message: heard[what].append((message.subject, message.data))

        await victim.subscribe(LOG.feed, hear("feed"), stream=STREAM)
        await victim.subscribe(LOG.told("*", VICTIM, "*"), hear("links"), stream=LINK)
        await registrar.subscribe(SWARM.command("registrar", "*"), hear("commands"))
        allowed = await _aim(mine)
        marker = (await write(registrar, LOG.epochs, b"marker")).sequence

        async def all_came() -> bool:
            # What goes over a link is no part of the log, so its order among the others is nobody's promise.
            marked = bool(heard["feed"]) and heard["feed"][-1][1] == b"marker"
            return marked and len(heard["links"]) >= allowed["a link"]

        await wait_until(all_came, bool, timeout_s=GIVE_UP_S, what="all that is allowed, and the marker")
        assert mine.errors == []
        # What came of it is what it may write, under its own name, and nothing else.
        stored = allowed["a vote"] + allowed["a decision"]
        assert marker == 1 + stored + 1
        own = {LOG.fed(CARRIERS[name][0]) for name in ("a vote", "a decision")}
        assert {subject for subject, _ in heard["feed"][:-1]} == own
        assert len(heard["feed"]) == stored + 1
        assert {subject for subject, _ in heard["links"]} == {LOG.told(ME, VICTIM, "ping")}
        assert heard["commands"] == []
        assert victim.counters["unasked"] == registrar.counters["unasked"] == 0


async def _aim(mine: Peer) -> dict[str, int]:
    """Do each of what is allowed with each target; how often each was done."""
    for subject, data in CARRIERS.values():
        for target in TARGETS:
            await mine.client.publish(subject, data, reply=target)
    await mine.settled()
    return {name: len(TARGETS) for name in CARRIERS}


# What does not count.


@dataclass
class Log:
    """A log with members that vote, and what a reader makes of it.

    Attributes:
        keys: What each peer signs with.
        old: What agent-3 signed with in the epochs before.
        task: The task that is attacked.
        proposal: The place of its proposal.
        epoch: Its epoch.
    """

    peers: Peers
    connections: dict[str, Connection]
    keys: dict[str, SigningKey]
    old: SigningKey
    epoch: int
    task: str = ""
    proposal: int = 0
    reasons: dict[int, str | None] = field(default_factory=dict)
    fold: Fold = field(default_factory=lambda: Fold(deadline_s=DEADLINE_S, verify=verifier(SWARM.swarm)))

    def vote(
        self,
        peer: str,
        verdict: Any = "yes",
        *,
        key: SigningKey | None = None,
        epoch: int = 0,
        proposal: int = 0,
        swarm: str = SWARM.swarm,
        task: str = "",
    ) -> bytes:
        """A vote, honest where nothing else is said."""
        said: Any = {"epoch": epoch or self.epoch, "proposal": proposal or self.proposal}
        signed = statement(swarm, **said, task=task or self.task, attempt=1, verdict=verdict)
        signature = (key or self.keys[peer]).sign(signed)
        return encode(Vote(verdict=verdict, signature=signature, **said))

    async def votes(self, peer: str, data: bytes) -> int:
        """Store something as a peer's vote, with its own credentials; where."""
        return await self.writes(peer, LOG.vote(peer, self.task, 1), data)

    async def writes(self, peer: str, subject: str, data: bytes) -> int:
        outcome = await write(self.connections[peer], subject, data)
        assert outcome.kind == "stored", outcome
        return outcome.sequence

    async def propose(self, task: str) -> None:
        """Have an honest proposal for a new task."""
        self.task, producer = task, self.connections["producer"]
        body = encode(RunTask(task=task, key="k", job="c"))
        assert (await write(producer, SWARM.submit_in("c", "k", task), body)).accepted
        await self.until(lambda: task in self.fold.tasks)
        honest = encode(Propose(epoch=self.epoch, effects=(b"buy",)))
        self.proposal = await self.writes("agent-1", LOG.proposal("agent-1", task, 1), honest)

    async def until(self, condition: Callable[[], bool]) -> None:
        async def look() -> bool:
            return condition()

        await wait_until(look, bool, timeout_s=GIVE_UP_S, what="the fold to come so far", every_s=0.005)

    async def follow(self) -> None:
        connection = self.connections["agent-2"]
        async with contextlib.aclosing(feed.follow(connection, LOG.stream, LOG.feed)) as records:
            async for record in records:
                read = entry(LOG, record.subject, record.data).record
                at = Place(record.sequence, record.stored_s)
                self.reasons[record.sequence] = self.fold.apply(at, read)


@contextlib.asynccontextmanager
async def voting(directory: Path) -> AsyncIterator[Log]:
    """Agents 1 to 3 are members, the third with a key of its own second; 4 was one; 5 never was."""
    nodes = [*(f"agent-{number}" for number in range(1, 6)), "producer", "registrar"]
    async with contextlib.AsyncExitStack() as stack:
        p = await stack.enter_async_context(peers(directory, agents=5))
        connections = {node: await stack.enter_async_context(p.connect(node)) for node in nodes}
        keys = {node: new_key() for node in nodes[:5]}
        registrar, old = connections["registrar"], new_key()
        given = {**keys, "agent-3": old}
        first = [Member(name=name, key=given[name].public) for name in nodes[:4]]
        await roster.change(registrar, LOG, founding(first, "majority"))
        await roster.change(registrar, LOG, leaving("agent-4"))
        now = await roster.change(registrar, LOG, joining(Member(name="agent-3", key=keys["agent-3"].public)))
        log = Log(p, connections, keys, old, now.record.epoch)
        following = asyncio.create_task(log.follow())
        try:
            yield log
        finally:
            following.cancel()
            await asyncio.wait({following})


async def doubled(log: Log) -> int:
    await log.votes("agent-3", log.vote("agent-3", "no"))
    return await log.votes("agent-3", log.vote("agent-3", "no"))


async def after_the_close(log: Log) -> int:
    await asyncio.sleep(DEADLINE_S)
    await log.writes("agent-2", LOG.closing("agent-2", log.task, 1), encode(Close(proposal=log.proposal)))
    return await log.votes("agent-3", log.vote("agent-3"))


async def after_the_decision(log: Log) -> int:
    for peer in ("agent-1", "agent-2"):
        await log.votes(peer, log.vote(peer))
    return await log.votes("agent-3", log.vote("agent-3", "no"))


def decides(outcome: Any, **changes: int) -> Callable[[Log], Awaitable[int]]:
    async def attack(log: Log) -> int:
        said: Any = {"epoch": log.epoch, "proposal": log.proposal, "at": log.proposal + 1, **changes}
        return await log.writes(
            "agent-3", LOG.decision("agent-3", "k", log.task, 1), encode(Decide(outcome=outcome, **said))
        )

    return attack


def votes(peer: str, **changes: Any) -> Callable[[Log], Awaitable[int]]:
    async def attack(log: Log) -> int:
        made = {name: value(log) if callable(value) else value for name, value in changes.items()}
        return await log.votes(peer, log.vote(peer, **made))

    return attack


def proposes(peer: str, attempt: int = 1, task: str = "") -> Callable[[Log], Awaitable[int]]:
    async def attack(log: Log) -> int:
        other = encode(Propose(epoch=log.epoch, effects=(b"sell",)))
        return await log.writes(peer, LOG.proposal(peer, task or log.task, attempt), other)

    return attack


ATTACKS: dict[str, tuple[Callable[[Log], Awaitable[int]], str, str]] = {
    "a vote that nobody signed": (
        lambda log: log.votes(
            "agent-3", encode(Vote(epoch=log.epoch, proposal=log.proposal, verdict="no", signature=b"x" * 64))
        ),
        "forged",
        "approve",
    ),
    "the vote of another, in one's own name": (
        lambda log: log.votes("agent-3", log.vote("agent-2", "no")),
        "forged",
        "approve",
    ),
    "a vote that was signed for another swarm": (votes("agent-3", swarm="other"), "forged", "approve"),
    "a vote that was signed for another task": (votes("agent-3", task="t-other"), "forged", "approve"),
    "a vote signed with the key of the epoch before": (
        votes("agent-3", key=lambda log: log.old),
        "forged",
        "approve",
    ),
    "a second vote": (doubled, "doubled", "approve"),
    "a vote of an old epoch": (votes("agent-3", epoch=1), "stale-epoch", "approve"),
    "a vote of a removed member": (votes("agent-4"), "removed", "approve"),
    "a vote of one who never was a member": (votes("agent-5"), "stranger", "approve"),
    "a vote on a proposal that is none": (votes("agent-3", proposal=1), "unknown-proposal", "approve"),
    "a vote after the close": (after_the_close, "late", "abort"),
    "a vote after the decision": (after_the_decision, "late", "approve"),
    "a close before the deadline": (
        lambda log: log.writes(
            "agent-3", LOG.closing("agent-3", log.task, 1), encode(Close(proposal=log.proposal))
        ),
        "premature",
        "approve",
    ),
    "a decision before there is one": (decides("approve"), "wrong-decision", "approve"),
    "a decision against the count": (decides("reject"), "wrong-decision", "approve"),
    "a decision of another epoch": (decides("abort", epoch=1), "wrong-decision", "approve"),
    "another proposal for the same attempt": (proposes("agent-3"), "doubled", "approve"),
    "a proposal before its turn": (proposes("agent-3", attempt=3), "out-of-turn", "approve"),
    "a proposal of a removed member": (proposes("agent-4", attempt=2), "removed", "approve"),
    "a proposal for a task that nobody submitted": (
        proposes("agent-3", task="t-none"),
        "unknown-task",
        "approve",
    ),
    "what is no vote": (lambda log: log.votes("agent-3", b"\xc1 junk"), "unreadable", "approve"),
    "an epoch where a vote should be": (
        lambda log: log.votes(
            "agent-3",
            encode(EpochRecord(epoch=9, members=(Member(name="agent-3", key=log.keys["agent-3"].public),))),
        ),
        "unreadable",
        "approve",
    ),
}
"""What is done, why it does not count, and what the proposal comes to for all that."""


async def test_what_a_peer_may_write_and_must_not_counts_for_nothing(tmp_path: Path) -> None:
    async with voting(tmp_path) as log:
        wrong: list[str] = []
        for number, (name, (attack, reason, outcome)) in enumerate(ATTACKS.items()):
            await log.propose(f"t-{number}")
            place = await attack(log)
            for peer in ("agent-1", "agent-2"):
                last = await log.votes(peer, log.vote(peer))
            await log.until(lambda last=last: last in log.reasons)  # type: ignore[misc]
            (proposal,) = log.fold.tasks[log.task].proposals
            if (log.reasons[place], proposal.outcome) != (reason, outcome):
                wrong.append(f"{name}: {log.reasons[place]}, and {proposal.outcome}")
            assert proposal.peer == "agent-1"
        assert wrong == []
        assert log.fold.epoch is not None
        assert log.fold.epoch.number == log.epoch
