"""A feed: every record once and in order, whatever breaks it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.peers import LOG, SWARM, peers, votes, write

from squall.bus import feed, log
from squall.bus.connection import Connection
from squall.bus.errors import ForbiddenError
from squall.bus.log import Record
from squall.bus.tasks import task_group, wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

GIVE_UP_S = 60.0
VOTE = votes("agent-1")


@contextlib.asynccontextmanager
async def following(connection: Connection, after: int = 0) -> AsyncIterator[asyncio.Queue[Record]]:
    """A feed that is read as fast as it comes."""
    read: asyncio.Queue[Record] = asyncio.Queue()

    async def follow() -> None:
        async with contextlib.aclosing(feed.follow(connection, LOG.stream, LOG.feed, after=after)) as records:
            async for record in records:
                read.put_nowait(record)

    async with task_group() as tasks:
        reading = tasks.daemon(follow())
        yield read
        reading.cancel()


async def taken(read: asyncio.Queue[Record], until: int) -> list[int]:
    """The sequences that are read, up to one."""
    places: list[int] = []
    async with asyncio.timeout(GIVE_UP_S):
        while not places or places[-1] < until:
            places.append((await read.get()).sequence)
    return places


async def stored(connection: Connection, *numbers: int, size: int = 10) -> int:
    """Store votes on numbered tasks; the sequence of the last one."""
    sequence = 0
    for number in numbers:
        outcome = await write(connection, VOTE(number), b"%d " % number + b"x" * size)
        assert outcome.accepted
        sequence = outcome.sequence
    return sequence


async def test_a_feed_begins_with_what_is_there_and_goes_on_with_what_comes(tmp_path: Path) -> None:
    async with peers(tmp_path) as p, p.connect("agent-1") as writer, p.connect("agent-2") as reader:
        await stored(writer, *range(600))  # more than is asked for at a time
        async with following(reader) as read:
            assert await taken(read, 600) == list(range(1, 601))
            await stored(writer, *range(5))
            assert await taken(read, 605) == list(range(601, 606))
        async with following(reader, after=603) as read:
            first = await read.get()
            assert first.subject == VOTE(3)
            assert first.data.startswith(b"3 ")
            assert (first.sequence, await taken(read, 605)) == (604, [605])


async def test_a_feed_holds_what_the_broker_copies_in(tmp_path: Path) -> None:
    async with (
        peers(tmp_path) as p,
        p.connect("producer") as producer,
        p.connect("agent-2") as reader,
        following(reader) as read,
    ):
        for number in range(3):
            task = SWARM.submit_in("c", "k", f"t-{number}")
            assert (await write(producer, task, Nats_Msg_Id=f"t-{number}")).accepted
        async with asyncio.timeout(GIVE_UP_S):
            subjects = [(await read.get()).subject for _ in range(3)]
        assert subjects == [LOG.task("k", f"t-{number}") for number in range(3)]


async def test_large_records_are_asked_for_in_several_pages(tmp_path: Path) -> None:
    async with peers(tmp_path) as p, p.connect("agent-1") as writer, p.connect("agent-2") as reader:
        last = await stored(writer, *range(12), size=feed.BATCH_BYTES // 4)
        async with following(reader) as read:
            assert await taken(read, last) == list(range(1, 13))


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed does not ask because it is quiet."""
    monkeypatch.setattr(feed, "QUIET_S", 10 * GIVE_UP_S)


@pytest.mark.usefixtures("patient")
async def test_a_feed_goes_on_over_a_crash_of_the_broker(tmp_path: Path) -> None:
    async with (
        peers(tmp_path) as p,
        p.connect("agent-1") as writer,
        p.connect("agent-2") as reader,
        following(reader) as read,
    ):
        await stored(writer, *range(5))
        assert await taken(read, 5) == list(range(1, 6))
        os.kill(p.broker.pid, signal.SIGKILL)
        last = await stored(writer, *range(5, 10))
        assert await taken(read, last) == list(range(6, last + 1))


@pytest.mark.usefixtures("patient")
async def test_what_a_dying_link_took_with_it_is_asked_for_though_nothing_follows(
    tmp_path: Path, relaying: Any
) -> None:
    async with (
        peers(tmp_path) as p,
        p.connect("agent-1") as writer,
        relaying(p.broker.url) as relay,
        p.connect("agent-2", relay.url) as reader,
        following(reader) as read,
    ):
        await stored(writer, 0, 1)
        assert await taken(read, 2) == [1, 2]
        relay.swallows = True
        await stored(writer, *range(2, 10))
        await relay.until_swallowed(b"9 x", GIVE_UP_S)
        relay.reset()
        relay.swallows = False
        assert await taken(read, 10) == list(range(3, 11))


async def test_what_is_lost_on_a_link_that_lives_is_asked_for(tmp_path: Path) -> None:
    """Be it before others, or the last that there is; repeated and late records are read once, in order."""
    async with peers(tmp_path) as p, p.connect("agent-1") as writer, p.connect("agent-2") as reader:
        kept: list[Any] = []

        def interfere(handler: Any, message: Any) -> None:
            number = int(message.data.split()[0]) if message.data else -1
            asked = message.subject.startswith("_INBOX")
            if not asked and number in (2, 9):
                return  # lost
            if not asked and number == 4:
                kept.append(message)  # late
                return
            handler(message)
            if not asked and number == 6:
                handler(message)
                handler(kept.pop())

        reader.interceptor = interfere
        async with following(reader) as read:
            await stored(writer, *range(10))
            assert await taken(read, 10) == list(range(1, 11))
            assert kept == []


async def test_an_answer_of_which_a_part_is_lost_is_asked_for_again(tmp_path: Path) -> None:
    async with peers(tmp_path) as p, p.connect("agent-1") as writer, p.connect("agent-2") as reader:
        await stored(writer, *range(20))
        lost = {3, 10, 19}

        def interfere(handler: Any, message: Any) -> None:
            number = int(message.data.split()[0]) if message.data else -1
            if number in lost:
                lost.remove(number)
            else:
                handler(message)

        reader.interceptor = interfere
        async with following(reader) as read:
            assert await taken(read, 20) == list(range(1, 21))
        assert lost == set()


async def test_what_was_purged_is_left_out(tmp_path: Path) -> None:
    async with (
        peers(tmp_path) as p,
        p.connect("agent-1") as writer,
        p.connect("agent-2") as reader,
        p.connect("registrar") as registrar,
    ):
        assert (await write(registrar, LOG.epochs)).sequence == 1
        await stored(writer, *range(10))
        await log.trim(registrar, LOG.stream, below=6, subject=LOG.vote("*", "*", "*"))
        async with following(reader) as read:
            assert await taken(read, 11) == [1, 6, 7, 8, 9, 10, 11]
            await log.trim(registrar, LOG.stream, below=12, subject=LOG.vote("*", "*", "*"))
            last = await stored(writer, 11)
            assert await taken(read, last) == [12]
        async with following(reader) as read:
            assert await taken(read, last) == [1, 12]


async def test_a_reader_that_is_slow_loses_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(feed, "BUFFER", 8)
    async with peers(tmp_path) as p, p.connect("agent-1") as writer, p.connect("agent-2") as reader:
        following = feed.follow(reader, LOG.stream, LOG.feed)
        async with asyncio.timeout(GIVE_UP_S), contextlib.aclosing(following) as records:
            await stored(writer, 0)
            places = [(await anext(records)).sequence]
            last = await stored(writer, *range(1, 100))  # nobody reads meanwhile
            while places[-1] < last:
                places.append((await anext(records)).sequence)
            assert places == list(range(1, 101))


@pytest.mark.parametrize("header", ["Nats-Sequence", "Nats-Subject", "Nats-Stream", "Nats-Last-Sequence"])
async def test_a_writer_does_not_choose_what_its_record_is_read_as(tmp_path: Path, header: str) -> None:
    """It may write any header; the broker's own follow, and count."""
    forged = {"Nats-Sequence": "7", "Nats-Subject": LOG.vote("agent-3", "t-1", 1)}.get(header, "9")
    async with peers(tmp_path) as p, p.connect("agent-1") as writer, p.connect("agent-2") as reader:
        async with following(reader) as read:
            for _ in range(2):  # heard the first time, asked for the second
                await write(writer, VOTE(1), b"x", **{header: forged, "Status": "404"})
                record = await read.get()
                assert (record.subject, record.data) == (VOTE(1), b"x")
                assert record.sequence in (1, 2)
        async with following(reader) as read:
            assert [(await read.get()).subject for _ in range(2)] == [VOTE(1), VOTE(1)]


async def test_nobody_else_speaks_on_a_feed(tmp_path: Path) -> None:
    async with peers(tmp_path) as p, p.connect("agent-1") as peer, p.connect("registrar") as registrar:
        for connection in (peer, registrar):
            with pytest.raises(ForbiddenError):
                await connection.publish(LOG.fed(VOTE(1)), b"x")


async def test_a_link_delivers_what_the_broker_says_again_and_nothing_of_another_stream(
    tmp_path: Path,
) -> None:
    async with peers(tmp_path) as p, p.connect("agent-1") as one, p.connect("agent-2") as other:
        heard: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue()

        def hear(message: Any) -> None:
            heard.put_nowait((message.subject, message.data))

        mine = LOG.told("*", "agent-2", "*")
        await other.subscribe(mine, hear, stream=SWARM.stream("LINK"))
        await other.subscribe(mine, hear)  # a message of a node, it says, which this is none of
        await one.publish(LOG.link("agent-1", "agent-2", "ping"), b"x")
        async with asyncio.timeout(GIVE_UP_S):
            assert await heard.get() == (LOG.told("agent-1", "agent-2", "ping"), b"x")

        async def unasked() -> int:
            return other.counters["unasked"]

        await wait_until(unasked, bool, timeout_s=GIVE_UP_S, what="the second to be told")
        assert heard.empty()
