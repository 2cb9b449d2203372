"""A coordinator that leaves every dispatch in its log, which so grows until it is full."""

from __future__ import annotations

from squall.services.roles.job_writer import JobWriter


def install(node: str, role: str) -> None:
    async def trim_letters(self: JobWriter) -> None:
        await self._letters.trim()

    JobWriter._trim_log = trim_letters  # type: ignore[method-assign]
