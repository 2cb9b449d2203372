"""What became of tasks so far in a swarm that runs: read when somebody asks, and kept in a file.

squall dlq ─► RUN/operate.sock ─► the registers ─► RUN/registers.jsonl
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.services.node.history import History
from squall.services.patterns import reading
from squall.services.run.operating import Operate

if TYPE_CHECKING:
    from squall.services.run.directory import RunDirectory
    from squall.services.run.swarm import Swarm

REGISTERS = "registers.jsonl"
"""In a run's directory: the registers as lines of a history, as they were when somebody last asked."""

TARGET, VERB = "registers", "read"
"""How a swarm is asked for them; see `operating.say`."""


def operator(swarm: Swarm, run: RunDirectory) -> Operate:
    """What a swarm does for its operator."""

    async def operate(target: str, verb: str) -> str:
        if (target, verb) == (TARGET, VERB):
            return await _keep(swarm, run)
        return await swarm.operate(target, verb)

    return operate


async def _keep(swarm: Swarm, run: RunDirectory) -> str:
    made = run.path / f".{REGISTERS}"
    made.unlink(missing_ok=True)
    with History(made, "squall", 1) as history:
        count = await reading.registers(swarm, history)
    made.replace(run.path / REGISTERS)
    return f"{count} tasks have ended"
