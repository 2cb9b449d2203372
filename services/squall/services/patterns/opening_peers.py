"""What `squall run` does to peers at work: one is killed, another sleeps through several deadlines."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

from squall.bus.errors import RequestError
from squall.services.patterns.pattern import AGENT
from squall.services.run.progress import Healed, Notice, Struck

if TYPE_CHECKING:
    from squall.services.run.directory import RunDirectory
    from squall.services.run.swarm import Swarm

LOOK_S = 0.05

KILL_AT, PAUSE_AT = 0.3, 0.6
"""Shares of the tasks that must have ended before one is struck."""

PAUSE_S = 4.0


async def strike(swarm: Swarm, run: RunDirectory) -> None:
    """Kill one peer and, later, pause another and wake it late. Each is logged in one line, as faults are."""
    killed, paused = swarm.of_role(AGENT)[:2]
    if not await _reached(swarm, KILL_AT):
        return
    unit = swarm.units.get(killed)
    if unit is not None:
        start_s = time.time()
        await swarm.launcher.kill(unit)
        await unit.ended()
        _log(run, "crash", killed, start_s, verified=True)
        swarm.tell(Notice(f"{killed} is killed, and started again"))
    if not await _reached(swarm, PAUSE_AT):
        return
    unit = swarm.units.get(paused)
    if unit is None:
        return
    start_s = time.time()
    verified = await swarm.launcher.freeze(unit)
    if verified:
        swarm.tell(Struck(key="opening", kind="pause", target=paused, nodes=(paused,)))
        swarm.tell(Notice(f"{paused} is frozen for {PAUSE_S:.1f} s; the others decide without it"))
    try:
        await asyncio.sleep(PAUSE_S)
    finally:
        thawed = await swarm.launcher.thaw(unit)
        swarm.tell(Healed("opening"))
        _log(run, "pause", paused, start_s, verified=verified and thawed)
    swarm.tell(Notice(f"{paused} runs again, and what it votes late does not count"))


def _log(run: RunDirectory, kind: str, node: str, start_s: float, *, verified: bool) -> None:
    now_s = time.time()
    run.append(
        "faults.jsonl",
        kind=kind,
        target=node,
        node=node,
        start_s=start_s,
        verified_s=start_s,
        end_s=now_s,
        healed_s=now_s,
        verified=verified,
    )


async def _reached(swarm: Swarm, share: float) -> bool:
    """Wait until so much has ended; False if it never will."""
    while await swarm.ended() < swarm.spec.tasks * share:
        with contextlib.suppress(RequestError):
            if swarm.producer.done() and (await swarm.backlog()).drained:
                return False
        await asyncio.sleep(LOOK_S)
    return True
