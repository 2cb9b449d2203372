"""An agent of a pool that coordinators command: whom it obeys, and what it makes of what is no command."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from tests.integration.led import PATIENT_S

from squall.bus.codec import decode, encode
from squall.bus.messages import AnnounceLeader, LeaderAccepted
from squall.bus.tasks import task_group
from squall.services.handlers import Task
from squall.services.handlers.python import loaded
from squall.services.node.history import History
from squall.services.node.points import Points
from squall.services.node.service import NodeStart, Service
from squall.services.patterns import hierarchical
from squall.services.roles import agent

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

AGENT = "agent-1"


async def does_nothing(task: Task) -> None:
    """Nothing is to be ordered."""


async def test_an_agent_answers_with_the_highest_term_and_counts_what_is_no_command(bus: Any) -> None:
    async with (
        bus() as b,
        b.connect(AGENT) as connection,
        b.connect("coordinator-1") as leader,
        task_group() as tasks,
    ):
        start = NodeStart(spec=b.spec, node=AGENT, role="agent", incarnation=1)
        points = Points(lambda point: None)
        pattern = hierarchical.PATTERN
        history = History(None, AGENT, 1)
        service = Service(start, pattern, connection, history, points, lambda: None, loaded(does_nothing))
        answers: asyncio.Queue[LeaderAccepted] = asyncio.Queue()
        await leader.subscribe(
            b.swarm.reply(AGENT, "*"),
            lambda message: answers.put_nowait(decode(message.data, LeaderAccepted)),
        )
        serving = tasks.start(agent.serve(service))
        heard: list[int] = []

        async def say(data: bytes) -> None:
            await leader.publish(b.swarm.command(AGENT, "lead"), data)

        async with asyncio.timeout(PATIENT_S):
            while 1 not in heard:  # it may not listen yet, so it is said until it answers
                await say(encode(AnnounceLeader(holder="coordinator-1", term=1, token="first")))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        heard.append((await answers.get()).term)
            await say(b"\xff no command")
            await say(encode(AnnounceLeader(holder="coordinator-1", term=9, token="in*valid")))
            for term in (5, 3, 7):
                await say(encode(AnnounceLeader(holder="coordinator-1", term=term, token=f"of-{term}")))
            while 7 not in heard:
                answer = await answers.get()
                assert (answer.node, answer.slots) == (AGENT, b.spec.slots)
                heard.append(answer.term)
        assert [term for term in heard if term > 1] == [5, 5, 7]
        counted = {name: service.counters[name] for name in ("unreadable", "commands_refused")}
        assert counted == {"unreadable": 2, "commands_refused": 1}
        service.stop.set()
        await serving
