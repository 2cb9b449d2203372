"""Publish retry without a message id: a submission whose answer was lost is sent again as a new one."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from msgspec.structs import replace

from squall.bus import jetstream
from squall.bus.codec import decode, encode
from squall.bus.messages import RunTask
from squall.services.roles import producer

TRY_S = 1.0
PAUSE_S = 0.1


def install(node: str, role: str) -> None:
    async def publish_anew(connection: Any, subject: str, data: bytes, **options: Any) -> Any:
        """Only a task has a name of its own to lose; a job's end is sent as ever."""
        if ".close." in subject:
            return await jetstream.publish(connection, subject, data, **options)
        task = decode(data, RunTask)
        for number in itertools.count():
            again = task if number == 0 else replace(task, task=f"{task.task}-r{number}")
            outcome = await jetstream.publish_once(connection, subject, encode(again), timeout_s=TRY_S)
            if outcome.kind != "unknown":
                return outcome
            await asyncio.sleep(PAUSE_S)
        raise AssertionError("unreachable")

    producer.publish = publish_anew  # type: ignore[attr-defined]
