"""A hub decides without its fence, and looks for no newer term.

That a decision was there before it takes for a reason to go on with the next batch.
"""

from __future__ import annotations

import contextlib
from typing import Any

from squall.chaos.mutants import lease_without_fence
from squall.services.roles.hub_log import ConflictError, HubLog


def install(node: str, role: str) -> None:
    lease_without_fence.install(node, role)
    store = HubLog.store

    async def shrugged_off(self: HubLog, *what: Any, **how: Any) -> None:
        with contextlib.suppress(ConflictError):
            await store(self, *what, **how)

    HubLog.store = shrugged_off  # type: ignore[method-assign]
