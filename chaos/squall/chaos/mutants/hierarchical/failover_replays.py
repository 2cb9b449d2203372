"""Failover replays results: a new leader dispatches again, as new, what it finds open."""

from __future__ import annotations

from msgspec.structs import replace

from squall.bus import log as bus_log
from squall.bus.codec import decode
from squall.bus.messages import RunTask
from squall.services.roles import coordinator


def install(node: str, role: str) -> None:
    restore = coordinator.Coordinator._restore

    async def restore_and_replay(self: coordinator.Coordinator) -> None:
        await restore(self)
        if not self._progress.open:
            return
        records = bus_log.read(
            self._connection, self._jobs, self._swarm.dispatches, after=0, until=self._leadership.term
        )
        async for record in records:
            task = decode(record.data, RunTask)
            if task.task not in self._progress.open:
                continue
            again = replace(task, task=f"{task.task}-t{self._leadership.term}")
            self._submitted.put_nowait((again, task.ingress))
            if self._submitted.full():
                return

    coordinator.Coordinator._restore = restore_and_replay  # type: ignore[method-assign]
