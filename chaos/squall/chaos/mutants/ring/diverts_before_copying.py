"""The register of what is to be set aside is written first, and the copy after it."""

from __future__ import annotations

from squall.bus import register
from squall.bus.log import Record
from squall.bus.messages import RunTask
from squall.services.roles.shedder import Shedder

copy, end = Shedder._set_aside, Shedder._end


async def not_yet(self: Shedder, oldest: Record) -> bool:
    return True


async def copied_after(self: Shedder, oldest: Record, task: RunTask, why: str) -> register.Written:
    written = await end(self, oldest, task, why)
    await self._service.at("router.copied")
    if written == "won":
        await copy(self, oldest)
    return written


def install(node: str, role: str) -> None:
    if role == "router":
        Shedder._set_aside = not_yet  # type: ignore[method-assign]
        Shedder._end = copied_after  # type: ignore[method-assign]
