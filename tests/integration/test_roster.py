"""The roster on a real broker: of two writers one wins, and what was asked for is in force once."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from pathlib import Path
from typing import Any

import pytest
from tests.integration.peers import LOG, Peers, peers, write

from squall.bus import feed, roster
from squall.bus.codec import decode
from squall.bus.connection import Connection
from squall.bus.errors import ForbiddenError, RequestError, RosterError
from squall.bus.jetstream import Outcome
from squall.bus.keys import user_key
from squall.bus.roster import follows, founding, joining, leaving, newest
from squall.bus.vote_messages import EpochRecord, Member

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

GIVE_UP_S = 60.0


def member(name: str) -> Member:
    return Member(name=name, key=user_key().public)


async def epochs(peers: Peers, until: int) -> list[EpochRecord]:
    """All that were written, as a peer reads them."""
    found: list[EpochRecord] = []
    async with (
        peers.connect("agent-1") as reader,
        contextlib.aclosing(feed.follow(reader, LOG.stream, LOG.feed)) as records,
        asyncio.timeout(GIVE_UP_S),
    ):
        while not found or found[-1].epoch < until:
            record = await anext(records)
            assert record.subject == LOG.epochs
            found.append(decode(record.data, EpochRecord))
    return found


async def test_of_two_writers_at_a_time_one_is_first_and_the_other_follows(tmp_path: Path) -> None:
    async with peers(tmp_path) as p, p.connect("registrar") as one, p.connect("registrar") as other:
        assert await newest(one, LOG) is None
        first = founding([member("agent-1")], "majority")
        founded = await asyncio.gather(*(roster.change(each, LOG, first) for each in (one, other)))
        assert founded[0] == founded[1]

        async def join(connection: Connection, *names: str) -> None:
            for name in names:
                await roster.change(connection, LOG, joining(member(name)))

        await asyncio.gather(
            join(one, *(f"a-{n}" for n in range(15))), join(other, *(f"b-{n}" for n in range(15)))
        )
        written = await epochs(p, 31)
        assert [epoch.epoch for epoch in written] == list(range(1, 32))
        pairs = itertools.pairwise(written)
        assert all(follows(before, after) for before, after in pairs)
        assert len(written[-1].members) == 31


async def test_a_change_whose_answer_is_lost_is_made_once(tmp_path: Path) -> None:
    async with peers(tmp_path) as p, p.connect("registrar") as registrar:
        await roster.change(registrar, LOG, founding([member("agent-1"), member("agent-2")], "all"))

        async def lose(writing: Any) -> Outcome:
            assert (await writing).accepted
            return Outcome("unknown")

        left = await roster.change(registrar, LOG, leaving("agent-2"), asked=lose)
        assert left.record.epoch == 2
        assert await newest(registrar, LOG) == left
        assert len(await epochs(p, 2)) == 2


async def test_one_who_is_always_late_says_so(tmp_path: Path) -> None:
    async with peers(tmp_path) as p, p.connect("registrar") as registrar:
        await roster.change(registrar, LOG, founding([member("agent-1"), member("agent-2")], "all"))
        count = 0

        async def overtaken(writing: Any) -> Outcome:
            nonlocal count
            count += 1
            await roster.change(registrar, LOG, joining(member(f"other-{count}")))
            outcome: Outcome = await writing
            return outcome

        with pytest.raises(RequestError, match="others were always ahead"):
            await roster.change(registrar, LOG, leaving("agent-2"), asked=overtaken)
        now = await newest(registrar, LOG)
        assert now is not None
        assert now.record.epoch == 1 + count == 1 + roster.TRIES
        assert now.record.member("agent-2") is not None


async def test_a_full_log_takes_no_epoch_and_says_so(tmp_path: Path) -> None:
    async with (
        peers(tmp_path, log_bytes_max=20_000) as p,
        p.connect("registrar") as registrar,
        p.connect("agent-1") as peer,
    ):
        await roster.change(registrar, LOG, founding([member("agent-1")], "all"))
        for size in (1000, 50):
            while (await write(peer, LOG.vote("agent-1", "t", 1), b"x" * size)).accepted:
                pass
        with pytest.raises(RequestError, match="not stored: maximum bytes"):
            await roster.change(registrar, LOG, joining(member("agent-2")))


async def test_a_roster_is_not_replaced_as_a_whole(tmp_path: Path) -> None:
    async with peers(tmp_path) as p, p.connect("registrar") as registrar:
        founded = await roster.change(registrar, LOG, founding([member("agent-1")], "all"))
        other = EpochRecord(epoch=2, members=(member("agent-2"),), rule="all")
        with pytest.raises(RosterError, match="more than one change away"):
            await roster.change(registrar, LOG, lambda _: other)
        assert await newest(registrar, LOG) == founded


async def test_nobody_but_the_registrar_writes_an_epoch(tmp_path: Path) -> None:
    async with peers(tmp_path) as p:
        for node in ("agent-1", "gateway", "producer", "launcher", "observer"):
            async with p.connect(node) as connection:
                with pytest.raises(ForbiddenError):
                    await connection.publish(LOG.epochs, b"{}")
