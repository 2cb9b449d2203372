"""A plain queue group for work: the leader hands tasks out over core NATS, to whoever should be there.

What the broker sends to a worker that is cut off is gone, and no one knows.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from nats.aio.msg import Msg

from squall.bus import register
from squall.bus.codec import decode, encode
from squall.bus.ended import NotThere
from squall.bus.messages import RunTask
from squall.bus.subjects import lane_for
from squall.bus.work_queue import WorkQueue
from squall.services.roles.job_writer import JobWriter

VERB = "run"


def install(node: str, role: str) -> None:
    store = JobWriter.store
    turn = itertools.cycle(range(1, 5))

    async def store_and_push(self: JobWriter, tasks: list[RunTask], *rest: Any, **options: Any) -> bool:
        saved = await store(self, tasks, *rest, **options)
        for task in tasks:
            subject = self._swarm.command(f"agent-{next(turn)}", VERB)
            await self._writer._connection.publish(subject, encode(task), confirm=False)
        return saved

    async def serve(self: WorkQueue, stop: asyncio.Event, *, grace_s: float) -> None:
        running: set[asyncio.Task[None]] = set()

        def on_task(message: Msg) -> None:
            attempt = asyncio.ensure_future(execute(self, decode(message.data, RunTask)))
            running.add(attempt)
            attempt.add_done_callback(running.discard)

        await self._connection.subscribe(self._swarm.command(self._agent, VERB), on_task)
        await stop.wait()

    async def execute(self: WorkQueue, task: RunTask) -> None:
        self._observer("run", "invoke", task=task.task, attempt=1)
        ended = await self._run(task, 1)
        assert not isinstance(ended, NotThere)
        subject = self._swarm.queued(lane_for(task.key), task.key, task.task)
        delivery: Any = type("Pushed", (), {"subject": subject})
        result = self._result(delivery, task, ended, 1)
        written = self._queue.register(result.lane, result.task)
        await register.write(self._connection, written, result, timeout_s=5)

    JobWriter.store = store_and_push  # type: ignore[method-assign]
    WorkQueue.serve = serve  # type: ignore[method-assign]
