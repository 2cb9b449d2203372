"""A handler that says on its node's channel to the launcher that it stands still at a point, and worse."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from squall.services.handlers import Task
from squall.services.trading.orders import Order
from squall.services.trading.strategies import decide as decide_as_usual

LIES = (
    b'{"point":"agent.committed"}\n',
    b'{"point":"agent.executed"}\n',
    b"no JSON at all\n",
    b"[" * 10_000 + b"\n",
    b'{"point":7}\n',
    b"\xff\xfe\n",
)


def pipes() -> list[int]:
    """Descriptors of this process that are pipes to write to; the log's is a file."""
    found = []
    for number in (int(entry.name) for entry in Path("/proc/self/fd").iterdir()):
        with contextlib.suppress(OSError):
            if number > 2 and stat.S_ISFIFO(os.fstat(number).st_mode):
                found.append(number)
    return found


left = [*LIES, *LIES]
"""Not more: who fills the channel is not heard any more, and so cannot be struck at a point."""


async def decide(task: Task) -> Order:
    """Tell one lie a task until all are told, and decide."""
    if left:
        lie = left.pop()
        for pipe in pipes():
            os.write(pipe, lie)
    return await decide_as_usual(task)
