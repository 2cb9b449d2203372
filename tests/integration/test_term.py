"""One leader's writes at a time, whoever believes to lead."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest

from squall.bus import log, term
from squall.bus.codec import encode
from squall.bus.connection import Connection
from squall.bus.errors import DeposedError, RejectedError, RequestError
from squall.bus.jetstream import FENCE_BUSY, Entry, Outcome, publish_batch
from squall.bus.messages import RunTask, TermClaimed
from squall.bus.subjects import Seat
from squall.bus.tasks import task_group, wait_until
from squall.bus.term import Leadership, _look, _take_over, campaign

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

LEASE_S = 1.0
GIVE_UP_S = 60.0
Events = list[tuple[str, str, int]]


def seat_of(b: Any) -> Seat:
    seat: Seat = b.swarm.coordinator_seat
    return seat


async def claim(b: Any, connection: Connection, events: Events) -> Leadership:
    """Take the seat over at once, as a candidate does whose patience has ended."""
    seat = seat_of(b)
    term = await _take_over(connection, seat, connection.name, await _look(connection, seat))
    assert term is not None
    return Leadership(
        connection, seat, connection.name, term, LEASE_S, lambda e, t, c: events.append((e, "", t))
    )


def entry(b: Any, task: str, term: int = 0) -> Entry:
    return Entry(b.swarm.dispatch("j", "k", task), encode(RunTask(task=task, key="k", job="j", term=term)), 0)


async def test_a_deposed_leader_can_write_nothing_and_is_counted(bus: Any) -> None:
    events: Events = []
    async with bus() as b, b.connect("coordinator-1") as one, b.connect("coordinator-2") as two:
        old = await claim(b, one, events)
        await old.write([entry(b, "before")], timeout_s=5)
        new = await claim(b, two, events)
        before = await log.state(one, b.swarm.stream("JOB"))
        with pytest.raises(DeposedError):
            await old.write([entry(b, "late")], timeout_s=5)
        with pytest.raises(DeposedError):
            await old.write(timeout_s=5)
        assert await log.state(one, b.swarm.stream("JOB")) == before
        assert events == [("fenced", "", old.term), ("fenced", "", old.term)]
        await new.write([entry(b, "after")], timeout_s=5)


async def test_a_batch_is_stored_whole_or_not_at_all(bus: Any) -> None:
    async with bus() as b, b.connect("coordinator-1") as one:
        leader = await claim(b, one, [])
        await leader.write([entry(b, "a")], timeout_s=5)
        before = await log.state(one, b.swarm.stream("JOB"))
        with pytest.raises(RejectedError):
            await leader.write([entry(b, "b"), entry(b, "a"), entry(b, "c")], timeout_s=5)
        after = await log.state(one, b.swarm.stream("JOB"))
        assert after["messages"] == before["messages"]


async def test_a_renewal_in_between_defeats_a_take_over(bus: Any) -> None:
    async with bus() as b, b.connect("coordinator-1") as one, b.connect("coordinator-2") as two:
        leader = await claim(b, one, [])
        stale = await _look(two, seat_of(b))
        await leader.write(timeout_s=5)
        assert await _take_over(two, seat_of(b), "coordinator-2", stale) is None
        await leader.write([entry(b, "still")], timeout_s=5)


@pytest.mark.parametrize(("kind", "is_leader"), [("unknown", True), ("refused", False)])
async def test_a_claim_whose_answer_was_lost_leads_if_it_was_stored(
    bus: Any, monkeypatch: pytest.MonkeyPatch, kind: Any, is_leader: bool
) -> None:
    async with bus() as b, b.connect("coordinator-1") as one:

        async def answer_lost(*asked: Any, **how: Any) -> Outcome:
            stored = await publish_batch(*asked, **how)
            assert stored.accepted
            return Outcome(kind, reason="as told")

        monkeypatch.setattr(term, "publish_batch", answer_lost)
        claimed = await _take_over(one, seat_of(b), "coordinator-1", await _look(one, seat_of(b)))
        newest = await log.last(one, seat_of(b).stream, seat_of(b).term)
    assert newest is not None
    assert claimed == (newest.sequence if is_leader else None)


async def test_a_busy_fence_is_tried_again_at_once(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another write is on its way, which is over in a moment; its code comes out of an answer."""
    busy = json.loads(str(FENCE_BUSY))
    answers = [Outcome("refused", code=busy)] * term.BUSY_TRIES
    async with bus() as b, b.connect("coordinator-1") as one:
        leader = await claim(b, one, [])

        async def publish(*asked: Any, **how: Any) -> Outcome:
            return answers.pop() if answers else await publish_batch(*asked, **how)

        monkeypatch.setattr(term, "publish_batch", publish)
        assert await leader.write([entry(b, "a")], timeout_s=5) > 0
    assert answers == []


async def test_a_candidate_looks_again_after_a_pause(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, pauses = asyncio.Event(), list[float]()

    async def paused(stop: asyncio.Event, length_s: float) -> None:
        pauses.append(length_s)
        await asyncio.sleep(0)
        if len(pauses) == 50:
            stop.set()

    async def lead(leadership: Leadership) -> None:
        raise AssertionError("there is a leader")

    monkeypatch.setattr(term, "_pause", paused)
    async with bus() as b, b.connect("coordinator-1") as one, b.connect("coordinator-2") as two:
        await claim(b, one, [])
        await campaign(
            two,
            seat_of(b),
            "coordinator-2",
            lease_s=GIVE_UP_S,
            lead=lead,
            observer=lambda *what: None,
            stop=stop,
        )
    assert min(pauses) >= min(term.LOOK_S, GIVE_UP_S / 5)


async def seize(b: Any, connection: Connection) -> int:
    """Claim the next term without asking whether the leader is alive, which no candidate does."""
    while True:
        newest = await log.last(connection, seat_of(b).stream, seat_of(b).term)
        claim = encode(TermClaimed(holder=connection.name, write="w"))
        outcome = await publish_batch(
            connection,
            [Entry(seat_of(b).term, claim, newest.sequence if newest else 0)],
            timeout_s=5,
        )
        if outcome.accepted:
            return outcome.sequence


async def test_no_write_of_an_old_term_lands_after_a_new_one(bus: Any) -> None:
    """Two zealous writers, each taking the seat from the other twenty times while both keep writing."""
    async with bus() as b, b.connect("coordinator-1") as one, b.connect("coordinator-2") as two:
        leaders = {one.name: await claim(b, one, [])}
        tried = 0

        async def spam(connection: Connection) -> None:
            nonlocal tried
            while True:
                leader = leaders.get(connection.name)
                if leader is not None:
                    tried += 1
                    with contextlib.suppress(RequestError):
                        await leader.write([entry(b, f"t{tried}", leader.term)], timeout_s=2)
                await asyncio.sleep(0)

        async def counted() -> int:
            return tried

        async with task_group() as tasks:
            for connection in (one, two):
                for _ in range(4):
                    tasks.daemon(spam(connection))
            for turn in range(20):
                taker = (two, one)[turn % 2]
                term = await seize(b, taker)
                leaders[taker.name] = Leadership(
                    taker, seat_of(b), taker.name, term, LEASE_S, lambda *_: None
                )
                # Let both write on: one under the new term, one in vain.
                await wait_until(counted, lambda n, past=tried: n > past + 20, timeout_s=30, what="writes")
        last = (await log.state(one, b.swarm.stream("JOB")))["last_seq"]
        from squall.bus.codec import decode

        newest = written = 0
        reading = log.read(one, b.swarm.stream("JOB"), b.swarm.dispatches, until=last)
        async with contextlib.aclosing(reading) as records:
            async for record in records:
                term = decode(record.data, RunTask).term
                assert term < record.sequence
                assert term >= newest, "a record of an older term follows one of a newer"
                newest, written = term, written + 1
        assert written > 20


async def test_a_standby_takes_over_from_a_leader_that_falls_silent(bus: Any) -> None:
    events: Events = []
    async with bus() as b, b.connect("coordinator-1") as one, b.connect("coordinator-2") as two:

        async def lead(leadership: Leadership) -> None:
            await asyncio.Event().wait()

        async def stand(connection: Connection, stop: asyncio.Event) -> None:
            await campaign(
                connection,
                seat_of(b),
                connection.name,
                lease_s=LEASE_S,
                lead=lead,
                observer=lambda e, t, c: events.append((e, connection.name, t)),
                stop=stop,
            )

        async def led() -> Events:
            return [event for event in events if event[0] == "lead"]

        async with task_group() as tasks:
            first = tasks.daemon(stand(one, asyncio.Event()))
            await wait_until(led, lambda e: len(e) == 1, timeout_s=10, what="a first leader")
            tasks.daemon(stand(two, asyncio.Event()))
            first.cancel()  # dies without a word
            await wait_until(led, lambda e: len(e) == 2, timeout_s=10, what="the standby to take over")
        terms = [term for _, _, term in await led()]
        assert [name for _, name, _ in await led()] == [one.name, two.name]
        assert terms == sorted(terms)


async def test_a_clean_stop_hands_over_without_waiting_for_the_lease(bus: Any) -> None:
    long_lease_s = 300.0
    events: Events = []
    async with bus() as b, b.connect("coordinator-1") as one, b.connect("coordinator-2") as two:
        leading = asyncio.Event()

        async def stand(connection: Connection, leave: asyncio.Event, stop: asyncio.Event) -> None:
            async def lead(leadership: Leadership) -> None:
                events.append(("lead", connection.name, leadership.term))
                leading.set()
                await leave.wait()
                stop.set()

            await campaign(
                connection,
                seat_of(b),
                connection.name,
                lease_s=long_lease_s,
                lead=lead,
                observer=lambda *_: None,
                stop=stop,
            )

        leave = asyncio.Event()
        async with asyncio.timeout(long_lease_s / 2):
            async with task_group() as tasks:
                tasks.start(stand(one, leave, asyncio.Event()))
                await leading.wait()
                leave.set()
                await wait_until(
                    lambda: _released(two, b), bool, timeout_s=10, what="the seat to be given up"
                )
                now = asyncio.Event()
                now.set()
                await stand(two, now, asyncio.Event())
        assert [name for _, name, _ in events] == [one.name, two.name]


async def _released(connection: Connection, b: Any) -> bool:
    return (await _look(connection, seat_of(b))).released


async def test_who_has_left_watches_who_follows_before_it_may_stand_again(bus: Any) -> None:
    """It would otherwise begin to lose its patience only a lease after it left."""
    lease_s = 2.0
    async with bus() as b, b.connect("coordinator-1") as one, b.connect("coordinator-2") as two:
        led: asyncio.Queue[int] = asyncio.Queue()
        leave, stop = asyncio.Event(), asyncio.Event()

        async def lead(leadership: Leadership) -> None:
            led.put_nowait(leadership.term)
            await leave.wait()

        async with task_group() as tasks:
            tasks.daemon(
                campaign(
                    one,
                    seat_of(b),
                    "coordinator-1",
                    lease_s=lease_s,
                    lead=lead,
                    observer=lambda event, term, code: None,
                    stop=stop,
                )
            )
            await led.get()
            leave.set()
            await wait_until(lambda: _released(two, b), bool, timeout_s=10, what="the seat to be free")
            leave.clear()
            await claim(b, two, [])  # which never renews
            begun_s = asyncio.get_running_loop().time()
            async with asyncio.timeout(10):
                await led.get()
            assert lease_s * 0.9 < asyncio.get_running_loop().time() - begun_s < 1.8 * lease_s
            stop.set()
            leave.set()
