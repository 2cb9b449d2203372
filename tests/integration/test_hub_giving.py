"""A hub that gives tasks to spokes by name: to whom it gave one, and who leads next knows of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from tests.integration.starred import PATIENT_S, KillingPoints, Star, counted, order, seen, starred

from squall.bus import log
from squall.bus.codec import decode
from squall.bus.jetstream import publish
from squall.bus.messages import RunTask, TermClaimed
from squall.bus.subjects import last_token
from squall.bus.tasks import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


async def gifts(s: Star) -> list[RunTask]:
    return [decode(record.data, RunTask) for record in await s.log_of(s.names.gifts)]


async def given(s: Star, count: int) -> list[RunTask]:
    """Wait until so many dispatches stand in the hub's log."""
    return await wait_until(
        lambda: gifts(s), lambda found: len(found) >= count, timeout_s=PATIENT_S, what=f"{count} gifts"
    )


async def terms(s: Star) -> list[str]:
    records = await s.log_of(s.names.hub_seat.term)
    return [decode(record.data, TermClaimed).holder for record in records]


@pytest.mark.parametrize(
    "point", ["hub.claimed", "hub.resumed", "hub.gathered", "hub.asked", "hub.decided", "hub.trimmed"]
)
async def test_who_follows_a_hub_that_is_killed_knows_what_was_given_and_gives_the_rest(
    bus: Any, point: str
) -> None:
    tasks = [f"t{number}" for number in range(20)]
    points = KillingPoints(point, 1 if point in ("hub.claimed", "hub.resumed") else 2)
    async with starred(bus, agents=1, slots=16, distribution="round-robin", snapshot_every=3) as s:
        async with s.hub("hub-1", points):
            await s.claimed()
            await s.submit(*tasks[:10])

            async def are_given_or_it_ends() -> bool:
                return points.struck.is_set() or len(await gifts(s)) == 10

            await wait_until(are_given_or_it_ends, bool, timeout_s=PATIENT_S, what="gifts, or the end")
            early = [task.task for task in await gifts(s)][:5]  # and five are with their spoke meanwhile
            for number, task in enumerate(early, 1):
                await s.ask(task, order("buy", 1))

                async def goes_on(asked: int = number) -> bool:
                    return points.struck.is_set() or len(await s.decisions()) == asked

                await wait_until(goes_on, bool, timeout_s=PATIENT_S, what="a decision, or the end")
            async with asyncio.timeout(PATIENT_S), s.hub("hub-2"):
                await points.struck.wait()
                await s.submit(*tasks[10:])
                for gift in await given(s, len(tasks)):
                    if gift.task not in early:
                        await s.ask(gift.task, order("buy", 1))
                await s.decided(len(tasks))
                state = await s.idle()
        made, once = await s.decisions(), Counter(task.task for task in await gifts(s))
    assert set(counted(made).values()) == {1}
    assert {at.status for at in made} == {"ok"}
    assert state.positions == {"wti": len(tasks)}
    assert once == Counter(tasks), "each was given once, whoever led"
    assert state.given == ()


async def test_a_spoke_is_answered_only_for_what_it_was_given_before_it_asked(bus: Any) -> None:
    async with starred(bus, agents=2, distribution="round-robin") as s:
        await s.ask("early", order("buy", 1))
        async with s.hub() as service:
            await s.claimed()
            await s.submit("early", "t1", "t2", "t3", "t4")
            has = {task.task: task.addressed.to for task in await given(s, 5)}
            for task in ("t1", "t2", "t3", "t4"):
                await s.ask(task, order("buy", 1))
            mine = {task for task, to in has.items() if to == "agent-1"} - {"early"}
            made = await s.decided(len(mine))
            await wait_until(
                lambda: seen(service.counters["requests_ignored"]),
                lambda count: count == 5 - len(mine),
                timeout_s=PATIENT_S,
                what="requests that are ignored",
            )
    assert len(mine) == 2 or "early" in {t for t, to in has.items() if to == "agent-1"}
    assert counted(made) == dict.fromkeys(mine, 1)
    history: Any = service.history
    assert {line["task"] for line in history.of("ignore", "fail")} == {*has} - mine


async def test_what_was_decided_and_comes_once_more_is_not_given_again(bus: Any) -> None:
    async with starred(bus, agents=1, distribution="adaptive") as s, s.hub():
        await s.submit("t")
        await given(s, 1)
        await s.ask("t", order("buy", 1))
        await s.decided(1)
        await s.submit("t", repeat="-once-more")
        await s.submit("last")
        await given(s, 2)
        await s.ask("last", order("buy", 1))
        made = await s.decided(2)
        state = await s.idle()
        found = [task.task for task in await gifts(s)]
        led = await terms(s)
    assert (counted(made), found) == ({"t": 1, "last": 1}, ["t", "last"])
    assert led == ["hub-1"], "nobody had to read the log anew"
    assert state.positions == {"wti": 2}


async def test_a_submission_that_cannot_be_read_ends_as_a_dead_letter(bus: Any) -> None:
    async with starred(bus, agents=1, distribution="adaptive") as s, s.hub():
        subject = s.names.submit_in("momentum-sp500", "k", "bad")
        stored = await publish(s.producer, subject, b"\xc1", message_id="bad", timeout_s=30)
        assert stored.accepted
        (made,) = await s.decided(1)
        await s.idle()
        letters = await log.state(s.observer, s.names.stream("DLQ"))
    assert (made.task, made.status, made.reason) == ("bad", "dead", "its submission cannot be read")
    assert letters["last_seq"] == 1
    assert last_token(subject) == "bad"
