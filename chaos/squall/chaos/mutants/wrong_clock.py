"""A wrong clock mixed in: one agent dates its lines an hour ahead."""

from __future__ import annotations

import time

from squall.services.node import history

SKEW_S = 3600.0


def install(node: str, role: str) -> None:
    if node == "agent-1":
        history._now = lambda: time.time() + SKEW_S
