"""Hedge with the original's message id: the broker takes it for a repeat, so that no hedge ever runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from squall.bus import term
from squall.bus.codec import encode
from squall.bus.jetstream import Outcome, publish, publish_batch
from squall.bus.messages import RunTask
from squall.bus.subjects import last_token
from squall.services.roles.job_writer import JobWriter

STORE_S = 5.0


class _Identified:
    """A connection that gives each dispatch the id of its task."""

    def __init__(self, connection: Any, is_dispatch: Callable[[str], bool]) -> None:
        self._connection = connection
        self._is_dispatch = is_dispatch

    def _with(self, subject: str, headers: Any) -> Any:
        more = {"Nats-Msg-Id": last_token(subject)} if self._is_dispatch(subject) else {}
        return {**(headers or {}), **more}

    def publish(self, subject: str, data: bytes, *, headers: Any = None, **how: Any) -> Awaitable[Any]:
        sent: Awaitable[Any] = self._connection.publish(
            subject, data, headers=self._with(subject, headers), **how
        )
        return sent

    def request(self, subject: str, data: bytes, *, headers: Any = None, **how: Any) -> Awaitable[Any]:
        sent: Awaitable[Any] = self._connection.request(
            subject, data, headers=self._with(subject, headers), **how
        )
        return sent


def _is_dispatch(subject: str) -> bool:
    return len(tokens := subject.split(".")) == 7 and tokens[2] == "job"


def install(node: str, role: str) -> None:
    store = JobWriter.store

    async def publish_identified(connection: Any, entries: Any, **how: Any) -> Outcome:
        return await publish_batch(_Identified(connection, _is_dispatch), entries, **how)  # type: ignore[arg-type]

    async def store_hedges_first(self: JobWriter, tasks: list[RunTask], *rest: Any, **how: Any) -> bool:
        for hedge in [task for task in tasks if task.addressed.hedge]:
            stored = await publish(
                self._writer._connection,
                self._subject(hedge),
                encode(hedge),
                timeout_s=STORE_S,
                message_id=hedge.task,
            )
            if stored.accepted:  # the broker says that it is a duplicate, which is as good as stored
                tasks.remove(hedge)
                self._progress.stored(hedge.task, stored.sequence)
        return await store(self, tasks, *rest, **how)

    term.publish_batch = publish_identified  # type: ignore[attr-defined]
    JobWriter.store = store_hedges_first  # type: ignore[method-assign]
