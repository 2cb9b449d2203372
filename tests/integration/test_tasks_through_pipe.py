"""Tasks through a pipe, as the producer follows them: each is offered as it comes, whoever is killed."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from squall.bus import log as bus_log
from squall.bus.codec import decode
from squall.bus.errors import DecodeError
from squall.bus.messages import RunTask
from squall.bus.tasks import wait_until
from squall.services.intake import piped
from squall.services.intake.arrivals import begin
from squall.services.intake.piped import Piped
from squall.services.intake.source import STDIN
from squall.services.node.history import History
from squall.services.node.service import NodeStart, Order
from squall.services.node.serving import Serving, serving
from squall.services.patterns import pattern_of
from squall.services.roles import producer
from squall.services.run.directory import RunDirectory

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

OWN = {"workload": "own", "tasks_from": STDIN, "handler": "mine:decide"}


@dataclass
class Rig:
    """A swarm's broker without its agents, a pipe that is read, and a producer that follows it."""

    b: Any
    folder: Path
    into: int
    pipe: Piped
    incarnation: int = 0

    def write(self, *numbers: int) -> None:
        lines = (json.dumps({"id": f"t-{n}", "key": f"k-{n % 3}", "body": n}) for n in numbers)
        os.write(self.into, b"".join(line.encode() + b"\n" for line in lines))

    @contextlib.asynccontextmanager
    async def producer(self) -> AsyncIterator[Serving]:
        """A start of the producer; leaving the block is its death."""
        self.incarnation += 1
        history = self.folder / "history.jsonl"
        start = NodeStart(
            spec=self.b.spec,
            node="producer",
            role="producer",
            incarnation=self.incarnation,
            url=self.b.broker.url,
            credentials=self.b.authority.credentials("producer", None),
            history=str(history),
            tasks=str(self.folder / "tasks.sqlite"),
        )
        with History(history, "producer", self.incarnation) as lines:
            async with serving(start, pattern_of(self.b.spec), lines, answer=lambda answer: None) as node:
                yield node
                node._work.cancel()

    def lines(self, kind: str) -> list[str]:
        """The tasks of which the history has a line of ``submit`` of this kind."""
        file = self.folder / "history.jsonl"
        lines = map(json.loads, file.read_text().splitlines() if file.exists() else ())
        return [line["task"] for line in lines if (line["op"], line["type"]) == ("submit", kind)]

    async def accepted(self, count: int) -> None:
        async def so_far() -> int:
            return len(set(self.lines("ok")))

        await wait_until(so_far, lambda seen: seen >= count, timeout_s=20, what=f"{count} accepted")

    async def stored(self) -> list[str]:
        """The tasks that the swarm's broker holds, in its order, without the ends of jobs."""
        stream, found = self.b.swarm.stream("IN"), list[str]()
        async with self.b.connect("observer") as observer:
            state = await bus_log.state(observer, stream)
            reading = bus_log.read(observer, stream, self.b.swarm.ingress, after=0, until=state["last_seq"])
            async with contextlib.aclosing(reading) as records:
                async for record in records:
                    with contextlib.suppress(DecodeError):
                        found.append(decode(record.data, RunTask).task)
        return found


RigMaker = Callable[..., contextlib.AbstractAsyncContextManager[Rig]]


@pytest.fixture
def rig(bus: Any, tmp_path: Path) -> RigMaker:
    @contextlib.asynccontextmanager
    async def made(*, tasks_max: int = 1000, **changes: Any) -> AsyncIterator[Rig]:
        out, into = os.pipe()
        with io.FileIO(out) as read, io.FileIO(into, "w") as written:
            async with bus(**{**OWN, **changes}) as b:
                begin(RunDirectory(tmp_path))
                with Piped(tmp_path, tasks_max, file=read.fileno()) as pipe:
                    yield Rig(b, tmp_path, written.fileno(), pipe)

    return made


def named(count: int) -> Counter[str]:
    return Counter(f"t-{n}" for n in range(count))


async def test_each_is_offered_as_it_comes_in_the_order_of_its_key_until_the_pipe_ends(
    rig: RigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sleep_until, slept = producer._sleep_until, list[float]()

    async def first_takes_longer(due_s: float, stop: asyncio.Event) -> None:
        slept.append(due_s)
        await sleep_until(due_s + (0.5 if len(slept) == 1 else 0.0), stop)

    monkeypatch.setattr(producer, "_sleep_until", first_takes_longer)
    async with rig(tasks_max=12) as r, r.producer() as node:
        r.write(*range(5))
        await r.accepted(5)
        assert not node._work.done()  # more may come
        r.write(*range(5, 12))  # as many as are wanted, which is an end as well
        async with asyncio.timeout(20):
            await node.ended()
        found = await r.stored()
        assert Counter(found) == named(12)
        for key in range(3):
            assert [task for task in found if int(task[2:]) % 3 == key] == [
                f"t-{n}" for n in range(12) if n % 3 == key
            ]


async def test_a_producer_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing(
    rig: RigMaker,
) -> None:
    count = 90
    async with rig(tasks_max=count, rate_per_s=100.0) as r:
        r.write(*range(60))
        for dies_at in (15, 30, 45):
            async with r.producer():
                await r.accepted(dies_at)
        r.write(*range(60, count))
        async with r.producer() as node, asyncio.timeout(20):
            await node.ended()
        assert Counter(await r.stored()) == named(count)
        assert Counter(r.lines("ok")) == named(count)
        assert len(r.lines("invoke")) > count  # some were under way when it died


async def test_a_full_ingress_is_waited_for_and_no_more_is_read_meanwhile(
    rig: RigMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producer, "CLOSE_PATIENCE_S", 0.5)
    monkeypatch.setattr(piped, "AHEAD_MAX", 20)
    room = 10
    async with rig(ingress_max=room, patience_s=0.1) as r:
        async with r.producer() as node:
            r.write(*range(100))
            await r.accepted(room)

            async def refusals() -> int:
                return node._service.counters["refusals"]

            await wait_until(refusals, lambda seen: seen > 15, timeout_s=20, what="offered again and again")
            assert r.lines("fail") == []
            assert r.pipe.taken.tasks <= room + 20
            node.obey(Order(stop=True))
            async with asyncio.timeout(40):
                await node.ended()
        assert len(await r.stored()) == room
