"""What a leader stores is stored once and in one piece, or not at all, and its successor finds it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from squall.bus import fenced, log
from squall.bus.connection import Connection
from squall.bus.errors import DeposedError, RejectedError
from squall.bus.fenced import CopiedTrim, FencedWriter, Stored, Taken, newest_snapshot, replay
from squall.bus.jetstream import BATCH_INCOMPLETE, STORE_REFUSED, Entry, Outcome, publish_batch
from squall.bus.tasks import task_group, wait_until
from squall.bus.term import Leadership, _look, _take_over
from squall.services.patterns import hierarchical

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

GIVE_UP_S = 30.0


async def unexpected(error: RejectedError) -> None:
    raise AssertionError(error)


async def lead(b: Any, connection: Connection) -> Leadership:
    """Take the seat over at once, as a candidate does whose patience has ended."""
    seat = b.swarm.coordinator_seat
    term = await _take_over(connection, seat, connection.name, await _look(connection, seat))
    assert term is not None
    leadership = Leadership(connection, seat, connection.name, term, 30.0, lambda *_: None)
    await leadership.write(timeout_s=5)
    return leadership


async def writing(
    b: Any,
    connection: Connection,
    refused: Callable[[RejectedError], Awaitable[None]] = unexpected,
    **how: Any,
) -> FencedWriter:
    leadership = await lead(b, connection)
    return FencedWriter(connection, b.swarm.coordinator_seat, leadership, refused=refused, **how)


def entry(b: Any, name: str, data: bytes = b"a record", expected: int = 0) -> Entry:
    return Entry(b.swarm.dispatch("j", "k", name), data, expected)


def given(b: Any, name: str, to: str, expected: int) -> Entry:
    among = b.swarm.dispatch("j", "k", name, "*")
    return Entry(b.swarm.dispatch("j", "k", name, to), f"{name} to {to}".encode(), expected, among)


async def stream_state(b: Any, connection: Connection) -> Any:
    return await log.state(connection, b.swarm.stream("JOB"))


async def at(b: Any, connection: Connection, sequence: int) -> log.Record:
    record = await log.at(connection, b.swarm.stream("JOB"), sequence)
    assert record is not None
    return record


@contextlib.asynccontextmanager
async def two(bus: Any) -> AsyncIterator[tuple[Any, Connection, Connection]]:
    async with bus() as b, b.connect("coordinator-1") as one, b.connect("coordinator-2") as other:
        yield b, one, other


async def test_entries_and_their_snapshot_are_stored_without_a_gap(bus: Any) -> None:
    async with two(bus) as (b, one, _):
        writer = await writing(b, one)
        first = await writer.store([entry(b, "a"), entry(b, "b")], b"a snapshot")
        assert isinstance(first, Stored)
        assert (await at(b, one, first.first)).subject == b.swarm.dispatch("j", "k", "a")
        assert (await at(b, one, first.last)).data == b"a snapshot"
        assert (first.last - first.first, writer.snapshot_sequence) == (2, first.last)
        second = await writer.store([], b"the next snapshot")
        assert isinstance(second, Stored)
        found = await newest_snapshot(one, b.swarm.coordinator_seat)
        assert found is not None
        assert (found.sequence, found.data) == (second.last, b"the next snapshot")


@pytest.mark.parametrize("snapshot", [None, b"a snapshot"])
async def test_a_batch_whose_answer_was_lost_is_known_again(
    bus: Any, monkeypatch: pytest.MonkeyPatch, snapshot: bytes | None
) -> None:
    """By its place, since nothing in it need be its own: the same bytes may stand on another subject."""
    losing = False

    async def publish(connection: Connection, entries: list[Entry], **how: Any) -> Outcome:
        nonlocal losing
        outcome = await publish_batch(connection, entries, **how)
        if losing and len(entries) > 1:
            losing = False
            return Outcome("unknown", reason="the answer was lost")
        return outcome

    monkeypatch.setattr("squall.bus.term.publish_batch", publish)
    async with two(bus) as (b, one, _):
        writer = await writing(b, one)
        await writer.store([entry(b, "before")], b"the first snapshot")
        losing = True
        stored = await writer.store([entry(b, "a"), entry(b, "b")], snapshot)
        assert not losing
        assert isinstance(stored, Stored)
        assert (await at(b, one, stored.first)).subject == b.swarm.dispatch("j", "k", "a")
        assert (await at(b, one, stored.first + 1)).subject == b.swarm.dispatch("j", "k", "b")
        assert writer.snapshot_sequence == (stored.last if snapshot else stored.first - 2)
        assert isinstance(await writer.store([entry(b, "after")], b"the last snapshot"), Stored)


@pytest.mark.parametrize("expected", ["the last one", "none"])
async def test_a_task_that_is_given_to_another_has_one_chain_of_dispatches(bus: Any, expected: str) -> None:
    """What is expected is the newest record of the task, to whomever it was given."""
    async with two(bus) as (b, one, _):
        writer = await writing(b, one)
        first = await writer.store([given(b, "a", "agent-1", 0), given(b, "b", "agent-1", 0)])
        assert isinstance(first, Stored)
        after = first.first if expected == "the last one" else 0
        second = await writer.store([given(b, "a", "agent-2", after), given(b, "c", "agent-2", 0)])
        if expected == "none":
            assert isinstance(second, Taken)
            assert [each and each.sequence for each in second.records.values()] == [first.first]
            return
        assert isinstance(second, Stored)
        back = await writer.store([given(b, "a", "agent-1", second.first), given(b, "d", "agent-1", 0)])
        assert isinstance(back, Stored)


async def test_a_batch_that_never_arrived_is_sent_again(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = 0

    async def publish(connection: Connection, entries: list[Entry], **how: Any) -> Outcome:
        nonlocal lost
        if len(entries) > 1 and how.get("fence") and lost < 2:
            lost += 1
            return Outcome("unknown", reason="it never arrived")
        return await publish_batch(connection, entries, **how)

    monkeypatch.setattr("squall.bus.term.publish_batch", publish)
    async with two(bus) as (b, one, _):
        stored = await (await writing(b, one)).store([entry(b, "a")])
        assert isinstance(stored, Stored)
        assert (lost, (await at(b, one, stored.last)).data) == (2, b"a record")


@pytest.mark.parametrize(("code", "asked"), [(BATCH_INCOMPLETE, 0), (STORE_REFUSED, 1)])
async def test_room_is_made_where_there_is_none_and_for_nothing_else(
    bus: Any, monkeypatch: pytest.MonkeyPatch, code: int, asked: int
) -> None:
    refusing = True
    made = []

    async def publish(connection: Connection, entries: list[Entry], **how: Any) -> Outcome:
        nonlocal refusing
        if len(entries) > 1 and how.get("fence") and refusing:
            refusing = False
            return Outcome("refused", code=code, reason="as the broker says")
        return await publish_batch(connection, entries, **how)

    async def make_room(error: RejectedError) -> None:
        made.append(error.code)

    monkeypatch.setattr("squall.bus.term.publish_batch", publish)
    async with two(bus) as (b, one, _):
        writer = await writing(b, one, refused=make_room)
        assert isinstance(await writer.store([entry(b, "a")]), Stored)
    assert made == [code] * asked


async def test_what_an_earlier_term_stored_is_told_though_it_reads_the_same(bus: Any) -> None:
    async with two(bus) as (b, one, other):
        long_ago = await (await writing(b, one)).store([entry(b, "a")])
        assert isinstance(long_ago, Stored)
        writer = await writing(b, other)
        before = (await stream_state(b, one))["last_seq"]
        found = await writer.store([entry(b, "a"), entry(b, "b")], b"a snapshot that tells of both")
        assert isinstance(found, Taken)
        (record,) = found.records.values()
        assert record is not None
        assert (record.subject, record.sequence) == (b.swarm.dispatch("j", "k", "a"), long_ago.last)
        assert (await stream_state(b, one))["last_seq"] == before
        assert isinstance(await writer.store([entry(b, "b")], b"a snapshot that tells of b"), Stored)


async def test_a_record_that_was_expected_and_is_not_there_is_told(bus: Any) -> None:
    async with two(bus) as (b, one, _):
        writer = await writing(b, one)
        found = await writer.store([entry(b, "a", expected=1)])
        assert found == Taken({b.swarm.dispatch("j", "k", "a"): None})


async def test_a_writer_that_does_not_know_the_newest_snapshot_finds_it(bus: Any) -> None:
    async with two(bus) as (b, one, other):
        assert isinstance(await (await writing(b, one)).store([], b"of the first term"), Stored)
        assert isinstance(await (await writing(b, other)).store([entry(b, "a")], b"of the second"), Stored)


async def test_a_deposed_writer_stores_nothing_and_is_told(bus: Any) -> None:
    async with two(bus) as (b, one, other):
        writer = await writing(b, one)
        await lead(b, other)
        before = await stream_state(b, one)
        with pytest.raises(DeposedError):
            await writer.store([entry(b, "a")], b"a snapshot")
        assert await stream_state(b, one) == before


@pytest.mark.parametrize(
    "entries",
    [[], [Entry("s", b"")], [Entry("s", b"", 0)] * (fenced.ENTRIES_MAX + 1)],
    ids=["nothing", "one that expects nothing", "too many"],
)
async def test_what_cannot_be_stored_once_is_refused_before_it_is_sent(bus: Any, entries: Any) -> None:
    async with two(bus) as (b, one, _):
        writer = await writing(b, one)
        with pytest.raises(ValueError, match=r"nothing|entries"):
            await writer.store(entries)


async def test_a_batch_that_a_full_stream_refuses_is_stored_once_there_is_room(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hierarchical, "LOG_BYTES_MAX", 64 * 1024)
    monkeypatch.setattr(fenced, "PAUSE_S", (0.01, 0.1))
    refusals: list[RejectedError] = []

    async def refused(error: RejectedError) -> None:
        refusals.append(error)
        if len(refusals) == 3:
            assert await writer.trim(below=large.last + 1, subject=b.swarm.dispatches)

    async with two(bus) as (b, one, _):
        writer = await writing(b, one, refused)
        large = await writer.store([entry(b, "a", b"x" * 50_000)])
        assert isinstance(large, Stored)
        assert isinstance(await writer.store([entry(b, "b", b"y" * 50_000)]), Stored)
        assert await log.at(one, b.swarm.stream("JOB"), large.last) is None
    assert len(refusals) == 3


async def test_what_is_covered_is_removed_once_and_without_a_margin_of_the_lease(bus: Any) -> None:
    """A leader whose renewals are answered late never has one, and the ingress would stay full."""
    async with two(bus) as (b, one, _):
        writer = await writing(b, one)
        stored = await writer.store([entry(b, "a"), entry(b, "b")])
        assert isinstance(stored, Stored)
        writer._leadership._renewed_s = -1000.0
        assert await writer.trim(below=stored.first + 1, subject=b.swarm.dispatches)
        assert await log.at(one, b.swarm.stream("JOB"), stored.first) is None
        assert await log.at(one, b.swarm.stream("JOB"), stored.last) is not None
    assert await writer.trim(below=stored.first, subject=b.swarm.dispatches)  # it is done


async def test_what_expects_nothing_is_not_stored_since_a_repeat_could_store_it_twice(bus: Any) -> None:
    async with two(bus) as (b, one, _):
        writer = await writing(b, one)
        with pytest.raises(ValueError, match="twice"):
            await writer.store([msgspec.structs.replace(entry(b, "a"), expected=None)])
        assert await log.last(one, b.swarm.stream("JOB"), b.swarm.dispatches) is None


@pytest.mark.parametrize("wrote", [True, False], ids=["its own", "its predecessor's"])
async def test_records_are_removed_once_the_broker_has_copied_them(bus: Any, wrote: bool) -> None:
    async with two(bus) as (b, one, _):
        writer = await writing(b, one)
        copied = CopiedTrim(
            one,
            b.swarm.coordinator_seat,
            writer,
            b.swarm.deads,
            copies=b.swarm.stream("DLQ"),
            copy_of=lambda record: b.swarm.dead_letter("j", record.data.decode()),
        )
        for name in ("t-1", "t-2"):
            await writer.store([Entry(b.swarm.dead("j", name), name.encode(), 0), entry(b, name)])
            if wrote:
                copied.wrote()

        async def left() -> log.Record | None:
            await copied.trim()
            return await log.last(one, b.swarm.stream("JOB"), b.swarm.deads)

        await wait_until(left, lambda record: record is None, timeout_s=GIVE_UP_S, what="the trim")
        assert await log.last(one, b.swarm.stream("JOB"), b.swarm.dispatches) is not None
        assert await log.last(one, b.swarm.stream("DLQ"), b.swarm.dead_letter("j", "t-1")) is not None


@pytest.mark.parametrize("places", [(), (1,), (1, 30), (38, 39)], ids=str)
async def test_a_successor_reads_the_places_it_asks_for_and_all_that_came_after(
    bus: Any, places: tuple[int, ...]
) -> None:
    async with two(bus) as (b, one, other):
        writer = await writing(b, one)
        sequences = []
        for number in range(50):
            stored = await writer.store([entry(b, f"t-{number}", b"%d" % number)])
            assert isinstance(stored, Stored)
            sequences.append(stored.last)
        term = (await lead(b, other)).term
        wanted = [sequences[place] for place in places]
        found = []
        records = replay(
            other,
            b.swarm.stream("JOB"),
            b.swarm.dispatches,
            places=wanted,
            after=sequences[39],
            through=term,
        )
        async with asyncio.timeout(GIVE_UP_S), contextlib.aclosing(records):
            async for record in records:
                found.append(record.sequence)
        assert found == sorted(set(found))
        assert set(found) >= {*wanted, *sequences[40:]}
        if places == (1,):
            assert found == [*wanted, *sequences[40:]]


async def test_batches_are_stored_while_the_lease_is_renewed(bus: Any) -> None:
    async with two(bus) as (b, one, _), task_group() as tasks:
        writer = await writing(b, one)
        tasks.daemon(renew(writer._leadership))
        for number in range(20):
            stored = await writer.store([entry(b, f"t-{number}")], b"snapshot %d" % number)
            assert isinstance(stored, Stored)
        found = await newest_snapshot(one, b.swarm.coordinator_seat)
        assert found is not None
        assert found.data == b"snapshot 19"


async def renew(leadership: Leadership) -> None:
    while True:
        await leadership.write(timeout_s=5)
