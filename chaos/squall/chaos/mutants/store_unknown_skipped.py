"""A leader that goes on when it does not know whether its batch was stored, as if it had been."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from squall.bus.errors import RejectedError, RequestError
from squall.bus.jetstream import Entry
from squall.bus.term import Leadership
from squall.services.roles.hub_log import HubLog
from squall.services.roles.job_writer import JobWriter


class _SkippedError(Exception):
    """The outcome of a batch is unknown."""


def install(node: str, role: str) -> None:
    write, dispatch, decide = Leadership.write, JobWriter.store, HubLog.store

    async def written(self: Leadership, entries: Sequence[Entry] = (), **how: Any) -> int:
        try:
            return await write(self, entries, **how)
        except RejectedError:
            raise
        except RequestError as error:
            if entries:
                raise _SkippedError from error
            raise  # a renewal

    async def dispatched(self: JobWriter, *what: Any, **how: Any) -> bool:
        try:
            return await dispatch(self, *what, **how)
        except _SkippedError:
            return False

    async def decided(self: HubLog, *what: Any, **how: Any) -> None:
        try:
            await decide(self, *what, **how)
        except _SkippedError:
            return

    Leadership.write = written  # type: ignore[method-assign]
    JobWriter.store = dispatched  # type: ignore[method-assign]
    HubLog.store = decided  # type: ignore[method-assign]
