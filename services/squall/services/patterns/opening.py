"""What `squall run` does to a swarm at work, so that one sees what its pattern is for.

Here is what patterns with a leader share. The harness, which does far worse, is no part of a service image.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from squall.bus.errors import RequestError
from squall.bus.tasks import task_group
from squall.services import jsonl
from squall.services.run.progress import Done, Healed, Leads, Notice, Struck, Waiting

if TYPE_CHECKING:
    from squall.services.run.directory import RunDirectory
    from squall.services.run.swarm import Swarm

LOOK_S = 0.05

PAUSE_AT = 0.6
"""Share of the tasks that must have ended before the leader is paused."""

PAUSE_MARGIN_S = 1.5
"""How much longer than its lease the leader stands still."""

RESUMED_S = 15.0
"""How long to wait for the resumed leader to find out that it was followed."""


async def pause_leader(swarm: Swarm, run: RunDirectory) -> None:
    """Stop the leader in its tracks for longer than its lease, and see that it stands down afterwards.

    It is logged in one line with the fields of the harness's faults, once it is healed or cancelled.
    """
    while await swarm.ended() < swarm.spec.tasks * PAUSE_AT:
        if await _is_over(swarm):
            return  # so many were refused that it will never be so far
        await asyncio.sleep(LOOK_S)
    leading = await swarm.leader()
    unit = swarm.units.get(leading[0]) if leading else None
    if leading is None or unit is None:
        return
    node, term = leading
    for_s = swarm.spec.lease_s + PAUSE_MARGIN_S
    start_s = time.time()
    verified = await swarm.launcher.freeze(unit)
    verified_s = time.time()
    if verified:
        swarm.tell(Struck(key="opening", kind="pause", target="leader", nodes=(node,)))
        swarm.tell(Notice(f"{node}, which leads, is frozen for {for_s:.1f} s"))
    try:
        async with task_group() as tasks:
            tasks.daemon(_tell_successor(swarm, leading))
            await asyncio.sleep(for_s)
    finally:
        end_s = time.time()
        thawed = await swarm.launcher.thaw(unit)
        swarm.tell(Healed("opening"))
        run.append(
            "faults.jsonl",
            kind="pause",
            target="leader",
            node=node,
            start_s=start_s,
            verified_s=verified_s,
            end_s=end_s,
            healed_s=time.time(),
            verified=verified and thawed,
        )
    if await swarm.leader() == leading:
        swarm.tell(Notice(f"{node} runs again, and leads: nobody took over"))
        return  # nobody was there to follow it
    swarm.tell(Waiting(key="opening", what=f"{node} to stand down", at_most_s=RESUMED_S))
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(RESUMED_S):
            while not stood_down(run.history, node, term):
                await asyncio.sleep(LOOK_S)
            swarm.tell(Notice(f"{node} runs again, and has stood down"))
    swarm.tell(Done("opening"))


async def _tell_successor(swarm: Swarm, before: tuple[str, int]) -> None:
    """Say who took over, once somebody has."""
    while (leading := await swarm.leader()) in (before, None):
        await asyncio.sleep(LOOK_S)
    if leading is not None:
        swarm.tell(Leads(leading[0]))  # so that what is shown of who leads is no older than what is told
        swarm.tell(Notice(f"{leading[0]} took over"))


async def _is_over(swarm: Swarm) -> bool:
    """Whether nothing more is offered, and all that was accepted has ended."""
    with contextlib.suppress(RequestError):
        return swarm.producer.done() and (await swarm.backlog()).drained
    return False


def stood_down(history: Path, node: str, term: int) -> bool:
    """Whether a node wrote that it gave a term up."""
    with history.open("rb") as file:
        for line in jsonl.lines(file):
            if line is not None and b'"op":"resign"' in line:
                with contextlib.suppress(msgspec.DecodeError):
                    resigned = jsonl.decode(_resigned, line)
                    if (resigned.node, resigned.term) == (node, term):
                        return True
    return False


class _Resigned(msgspec.Struct):
    node: str
    term: int


_resigned = msgspec.json.Decoder(_Resigned)
