"""Nobody closes a proposal whose time is over."""

from __future__ import annotations

import asyncio

from squall.services.roles.voter import Voter
from squall.services.rules.voting import Proposal


def install(node: str, role: str) -> None:
    async def wait(self: Voter, proposal: Proposal) -> None:
        while proposal.outcome is None:
            await asyncio.sleep(1.0)

    Voter._close = wait  # type: ignore[method-assign]
