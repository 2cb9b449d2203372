"""A spoke on a real broker: one request a task however often it dies, and what it does while nobody leads."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from tests.integration.starred import (
    ALSO_MINE,
    PATIENT_S,
    KilledError,
    KillingPoints,
    Star,
    order,
    seen,
    service_of,
    starred,
)

from squall.bus import log
from squall.bus.codec import decode, encode
from squall.bus.messages import AnnounceLeader, TaskResult
from squall.bus.subjects import ANY
from squall.bus.tasks import task_group, wait_until
from squall.services.handlers import Task
from squall.services.node.points import Points
from squall.services.node.service import Service
from squall.services.patterns import star
from squall.services.roles import spoke

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

SPOKE = "agent-2"
MINE = "momentum-nasdaq"
"""A class of the second of three spokes; the first is the test's own."""


async def buys(task: Task) -> Any:
    return msgspec.json.decode(order("buy", 3, "nasdaq"))


@contextlib.asynccontextmanager
async def working(s: Star, points: Points | None = None) -> AsyncIterator[Service]:
    """A spoke that works inside the block, if it does not die."""
    async with s.bus.connect(SPOKE) as connection, task_group() as tasks:
        service = service_of(s.bus, connection, SPOKE, "agent", points, buys)

        async def serve() -> None:
            with contextlib.suppress(KilledError):
                await spoke.serve(service)

        serving = tasks.start(serve())
        yield service
        service.stop.set()
        await serving


async def requests(s: Star) -> list[TaskResult]:
    return [decode(record.data, TaskResult) for record in await s.log_of(s.names.request(SPOKE, ANY))]


async def asked(s: Star, count: int) -> list[TaskResult]:
    return await wait_until(
        lambda: requests(s), lambda made: len(made) >= count, timeout_s=PATIENT_S, what=f"{count} requests"
    )


async def left(s: Star) -> int:
    return int((await log.state(s.observer, s.names.stream("WK")))["messages"])


async def nothing_left(s: Star) -> None:
    await wait_until(lambda: left(s), lambda count: count == 0, timeout_s=PATIENT_S, what="acknowledgements")


async def test_a_spoke_asks_for_what_its_handler_intends_and_takes_nobody_elses_tasks(bus: Any) -> None:
    async with starred(bus) as s, working(s):
        await s.submit("theirs", kind=ALSO_MINE)
        await s.submit("mine", kind=MINE)
        (made,) = await asked(s, 1)
        await wait_until(lambda: left(s), lambda count: count == 1, timeout_s=PATIENT_S, what="one task left")
        assert len(await requests(s)) == 1
    assert (made.task, made.status, made.agent, made.reduce_only) == ("mine", "ok", SPOKE, False)
    assert made.effects == (order("buy", 3, "nasdaq"),)


@pytest.mark.parametrize("point", spoke.POINTS)
async def test_a_spoke_that_dies_between_two_steps_asks_once(bus: Any, point: str) -> None:
    async with starred(bus, ack_wait_s=0.5) as s:
        points = KillingPoints(point)
        async with working(s, points), asyncio.timeout(PATIENT_S):
            await s.submit("t1", "t2", kind=MINE)
            await points.struck.wait()
        async with working(s):
            made = await asked(s, 2)
            await nothing_left(s)
            assert len(await requests(s)) == 2
    assert sorted(at.task for at in made) == ["t1", "t2"]


class Announcer:
    """Announces a leader to one node for as long as the block lasts."""

    def __init__(self, s: Star, connection: Any) -> None:
        self._s, self._connection = s, connection

    async def say(self, term: int) -> None:
        command = AnnounceLeader(holder="hub-1", term=term, token="token")
        await self._connection.publish(self._s.names.command(SPOKE, "lead"), encode(command), confirm=False)

    @contextlib.asynccontextmanager
    async def saying(self, term: int) -> AsyncIterator[None]:
        async def keep() -> None:
            while True:
                await self.say(term)
                await asyncio.sleep(self._s.bus.spec.lease_s / 3)

        async with task_group() as tasks:
            tasks.daemon(keep())
            yield


async def until_told(service: Service, op: str, kind: str, count: int = 1) -> list[dict[str, Any]]:
    history: Any = service.history
    lines: list[dict[str, Any]] = await wait_until(
        lambda: seen(history.of(op, kind)),
        lambda lines: len(lines) >= count,
        timeout_s=PATIENT_S,
        what=f"{op} {kind}",
    )
    return lines


async def test_without_a_hub_a_spoke_asks_for_reductions_only_and_returns_with_the_next_announcement(
    bus: Any,
) -> None:
    async with starred(bus) as s, s.bus.connect("hub-1") as connection, working(s) as service:
        announcer = Announcer(s, connection)
        async with announcer.saying(5):
            await until_told(service, "command", "ok")
            await s.submit("t1", kind=MINE)
            await asked(s, 1)
        (begun,) = await until_told(service, "degraded", "ok")
        await s.submit("t2", kind=MINE)
        await asked(s, 2)
        await announcer.say(4)  # a deposed hub, which nobody obeys
        (refused,) = await until_told(service, "command", "fail")
        await s.submit("t3", kind=MINE)
        await asked(s, 3)
        async with announcer.saying(6):
            _, ended = await until_told(service, "degraded", "ok", 2)
            await s.submit("t4", kind=MINE)
            made = await asked(s, 4)
    assert [at.reduce_only for at in made] == [False, True, True, False]
    assert begun == {"what": "begin", "term": 5, "mode": "reduce-only"}
    assert ended == {"what": "end", "term": 6}
    assert refused == {"what": "lead", "term": 4, "highest": 5, "holder": "hub-1"}
    assert service.counters["commands_refused"] == 1


async def test_a_spoke_told_to_hold_takes_no_task_while_nobody_leads(bus: Any) -> None:
    async with (
        starred(bus, on_hub_loss="hold") as s,
        s.bus.connect("hub-1") as connection,
        working(s) as service,
    ):
        await until_told(service, "degraded", "ok")
        await s.submit("t1", "t2", kind=MINE)
        await s.submit("theirs", kind=ALSO_MINE)
        await s.acknowledge(await s.pull())  # what another spoke does goes on
        history: Any = service.history
        assert await requests(s) == []
        assert history.of("run", "invoke") == []
        async with Announcer(s, connection).saying(5):
            made = await asked(s, 2)
    assert [at.reduce_only for at in made] == [False, False]


async def test_a_spoke_told_to_flatten_has_what_is_held_of_its_symbols_closed_once(bus: Any) -> None:
    async with starred(bus, on_hub_loss="flatten", lease_s=1.0) as s, working(s) as service:
        async with s.hub("hub-1"):
            await s.submit("t1", "t2", kind=MINE)
            await s.submit("other")
            await s.ask("other", order("sell", 4, "sp500"))
            await s.until(lambda state: state.positions == {"nasdaq": 6, "sp500": -4})
        (flattened,) = await until_told(service, "flatten", "ok")
        assert (await until_told(service, "degraded", "ok"))[0]["mode"] == "flatten"
        async with s.hub("hub-2"):
            state = await s.until(lambda state: state.positions == {"sp500": -4})
            made = (await s.decided(4))[-1]
    assert made.task == flattened["task"]
    assert (made.agent, made.reduces, made.reduce_only) == (SPOKE, True, True)
    last_heard = json.loads(order("buy", 3, "nasdaq"))["price"]
    assert {json.loads(effect)["price"] for effect in made.effects} == {last_heard}
    assert state.flattened == {SPOKE: flattened["term"]}


@pytest.mark.parametrize(("written", "told"), [("unknown", "unknown"), ("already", "ok")])
async def test_a_spoke_tells_whether_it_is_known_that_it_asked_to_close(
    bus: Any, monkeypatch: pytest.MonkeyPatch, written: str, told: str
) -> None:
    async def write(*asked: Any, **how: Any) -> tuple[str, str]:
        return written, "as told"

    monkeypatch.setattr(spoke, "register", SimpleNamespace(write=write))
    async with (
        starred(bus, on_hub_loss="flatten", lease_s=0.5) as s,
        s.bus.connect("hub-1") as connection,
        working(s) as service,
    ):
        async with Announcer(s, connection).saying(5):
            await until_told(service, "command", "ok")
        (line,) = await until_told(service, "flatten", told)
    assert line["term"] == 5


async def test_a_request_that_there_is_no_room_for_waits_and_costs_no_attempt(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(star, "REQUEST_BYTES_MAX", 16 * 1024)
    pacing = {"attempts": 2, "retry_base_s": 0.05, "retry_cap_s": 0.05}
    async with starred(bus, **pacing) as s, working(s) as service:
        await s.submit("large")
        assert (await s.ask("large", value=b"x" * 15_900)).accepted
        await s.submit("t", kind=MINE)
        await wait_until(
            lambda: seen(service.counters["refused"]), lambda n: n >= 5, timeout_s=PATIENT_S, what="refusals"
        )
        async with s.bus.connect("hub-1") as trimming:
            await log.trim(trimming, s.names.stream("REQ"), below=2)
        (made,) = await asked(s, 1)
    assert (made.status, made.attempt) == ("ok", 1)
