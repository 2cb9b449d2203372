"""Standing for a seat: a leader that is asked to steps down, and another leads at once."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.integration.led import service_of

from squall.bus.codec import decode
from squall.bus.errors import RequestError
from squall.bus.messages import Heartbeat
from squall.bus.tasks import task_group, wait_until
from squall.bus.term import _look, _take_over
from squall.services.node.lead import Office, stand
from squall.services.node.service import Service
from squall.services.roles import coordinator
from squall.services.rules.leading import ForbiddenTransitionError

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

LEASE_S = 3.0
GIVE_UP_S = 30.0


@dataclasses.dataclass
class Candidate:
    """A role that leads and does nothing else.

    Attributes:
        states: Each state that it was seen in, once in a row.
        lines: What it wrote into the history.
        terms: Those it has led.
    """

    service: Service
    states: list[str] = dataclasses.field(default_factory=list)
    lines: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    terms: list[int] = dataclasses.field(default_factory=list)

    async def lead(self, office: Office) -> None:
        self.note()
        office.caught_up()
        self.note()
        self.terms.append(office.term)
        await office.leave.wait()
        self.note()

    def note(self) -> None:
        if self.states[-1:] != [self.service.state]:
            self.states.append(self.service.state)


@contextlib.asynccontextmanager
async def candidate(b: Any, node: str) -> AsyncIterator[Candidate]:
    async with b.connect(node) as connection, task_group() as tasks:
        service = service_of(b, connection, node)
        here = Candidate(service)
        service.history = lambda op, kind, /, **facts: here.lines.append((op, kind))  # type: ignore[assignment]
        standing = tasks.start(stand(service, b.swarm.coordinator_seat, here.lead))
        yield here
        service.stop.set()
        await standing
        here.note()


async def until_led(here: Candidate, times: int = 1) -> None:
    async def terms() -> list[int]:
        return here.terms

    await wait_until(terms, lambda t: len(t) >= times, timeout_s=GIVE_UP_S, what="a term", every_s=0.01)


async def test_a_leader_that_steps_down_is_followed_within_its_lease_and_stands_again_a_lease_later(
    bus: Any,
) -> None:
    loop = asyncio.get_running_loop()
    async with bus(lease_s=LEASE_S) as b, candidate(b, "coordinator-1") as one:
        await until_led(one)
        async with candidate(b, "coordinator-2") as two:
            asked_s = loop.time()
            one.service.step_down.set()
            await until_led(two)
            assert loop.time() - asked_s < LEASE_S  # nobody waits for that to run out
            assert one.lines == [("lead", "ok"), ("resign", "ok")]
            two.service.stop.set()  # so that it leaves, and does not stand again beside the other
            await until_led(one, times=2)
            assert loop.time() - asked_s >= LEASE_S
        assert two.lines == one.lines[:2]
        assert one.states[:4] == ["catching-up", "active", "stepping-down", "catching-up"]
    assert one.states[-1] == "standby"
    assert one.service.counters["fenced_writes"] == two.service.counters["fenced_writes"] == 0


async def test_an_order_to_a_standby_is_not_kept_for_the_term_that_it_may_win(bus: Any) -> None:
    async with bus(lease_s=LEASE_S) as b, candidate(b, "coordinator-1") as one:
        await until_led(one)
        async with candidate(b, "coordinator-2") as two:
            two.service.step_down.set()
            one.service.stop.set()
            await until_led(two)
            assert two.service.state == "active"
            assert not two.service.step_down.is_set()


async def test_a_leader_that_was_followed_counts_its_refused_writes_and_stands_by(bus: Any) -> None:
    async with bus(lease_s=0.5) as b, candidate(b, "coordinator-1") as one:
        await until_led(one)
        async with b.connect("coordinator-2") as thief:
            seat = b.swarm.coordinator_seat

            async def seize() -> int | None:
                return await _take_over(thief, seat, "thief", await _look(thief, seat))

            await wait_until(seize, bool, timeout_s=GIVE_UP_S, what="the thief's term", every_s=0.0)
            await until_led(one, times=2)  # the thief does not renew
        assert one.lines == [("lead", "ok"), ("fenced", "fail"), ("resign", "ok"), ("lead", "ok")]
        assert one.service.counters["fenced_writes"] == 1
        assert one.terms == sorted(set(one.terms))


async def test_its_state_is_told_with_each_heartbeat(bus: Any) -> None:
    heard: list[str] = []
    async with bus(lease_s=0.5) as b, b.connect("observer") as observer, task_group() as tasks:
        await observer.subscribe(
            b.swarm.heartbeats, lambda message: heard.append(decode(message.data, Heartbeat).state)
        )
        async with candidate(b, "coordinator-1") as one:
            await until_led(one)
            beating = tasks.daemon(one.service.beat())

            async def states() -> list[str]:
                return heard

            await wait_until(states, bool, timeout_s=GIVE_UP_S, what="a heartbeat")
            beating.cancel()
    assert heard[0] == "active"


async def test_a_role_that_says_twice_that_it_has_caught_up_ends_by_a_defect(bus: Any) -> None:
    async def lead(office: Office) -> None:
        office.caught_up()
        office.caught_up()

    async with bus(lease_s=0.5) as b, b.connect("coordinator-1") as connection:
        service = service_of(b, connection)
        with pytest.raises(ForbiddenTransitionError):
            await stand(service, b.swarm.coordinator_seat, lead)


async def test_a_coordinator_that_steps_down_leaves_no_task_behind(swarm: Any) -> None:
    """The batch that it has begun is stored; its successor goes on from there."""
    async with swarm(lease_s=2.0) as s, s.bus.connect("coordinator-2") as connection, task_group() as tasks:
        await until_active(s.service)
        second = service_of(s.bus, connection, "coordinator-2")
        tasks.daemon(coordinator.serve(second))
        for number in range(50):
            await s.submit(f"t-{number}")
            if number == 25:
                s.service.step_down.set()
        finishing = tasks.daemon(finish(s))
        await s.close()
        state = await s.done()
        finishing.cancel()
        await until_active(second)
    assert (state.jobs["j"].dispatched, state.jobs["j"].ok, state.dispatched) == (50, 50, 50)
    assert s.service.state == "standby"


async def until_active(service: Service) -> None:
    async def state() -> str:
        return service.state

    await wait_until(state, lambda s: s == "active", timeout_s=GIVE_UP_S, what="a leader", every_s=0.01)


async def finish(s: Any) -> None:
    with contextlib.suppress(RequestError):
        while True:
            await s.finish(await s.pull())
