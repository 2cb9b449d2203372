"""One run: start a swarm, drive the workload, work against it, drain, read what is left, judge.

What is found goes into the run's directory as it is found; the verdict comes from
the directory alone, so that anybody can come to it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from squall.bus.errors import RequestError
from squall.bus.tasks import task_group
from squall.services import jsonl
from squall.services.errors import SpecError
from squall.services.node.history import History
from squall.services.patterns.pattern import Backlog
from squall.services.run.adversary import Adversary, Opening
from squall.services.run.directory import RunDirectory
from squall.services.run.result import Result
from squall.services.run.spec import Spec
from squall.services.run.swarm import Swarm, running

LOOK_S = 0.25
SAY_EVERY_S = 5.0
"""Between two words about what draining waits for."""


class Interrupt:
    """How the user wants it to end: set once to drain and report; `hard` is another's to handle."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()


async def execute(
    spec: Spec,
    run: RunDirectory,
    *,
    url: str | None,
    interrupt: Interrupt,
    progress: Callable[[str], None],
    adversary: Adversary | None = None,
) -> None:
    """Run a swarm to its end and leave everything that judging it takes in its directory.

    Args:
        adversary: Who works against it; by default it is shown what its pattern survives.

    Raises:
        ServiceError, BusError: It could not be run; the directory holds what there was.
    """
    started_s = time.monotonic()
    if adversary is None:
        adversary = Opening(run)
    with History(run.history, "squall", 1) as history:
        starting = running(
            spec,
            run,
            url=url,
            route=adversary.route,
            preload=adversary.preload,
            history=history,
            progress=progress,
        )
        async with starting as swarm:
            history("note", "ok", limits=_limits(swarm), environment=_environment(swarm, adversary))
            producer = await swarm.start_producer()
            async with task_group() as tasks:
                showing = tasks.daemon(_show(swarm, progress))
                disturbing = tasks.daemon(adversary.disturb(swarm))
                done_early = disturbing if adversary.ends_load else None
                await _drive(swarm, producer, interrupt, done_early)
                if interrupt.asked.is_set():
                    disturbing.cancel()
                # With the load over, what waits for more of it would wait for ever.
                await asyncio.wait({disturbing}, timeout=None if adversary.ends_load else spec.drain_bound_s)
                disturbing.cancel()
                showing.cancel()
                drain_s = time.monotonic()
                bound_s = adversary.drain_bound_s or spec.drain_bound_s
                drained = await _drain(swarm, bound_s, progress)
                took_s = time.monotonic() - drain_s
            progress("reading the registers")
            registers = await swarm.pattern.read_back(swarm, history)
            drained_s = time.time()
        shutil.rmtree(run.broker, ignore_errors=True)  # all of it was read back
        # Nobody writes any more. How many lines each wrote is what lets a reader notice a missing one.
        history(
            "final",
            "ok",
            what="complete",
            registers=registers,
            drained=drained,
            drained_s=drained_s,
            bound_s=bound_s,
            took_s=took_s,
            interrupted=interrupt.asked.is_set() or adversary.ends_load,
            duration_s=time.monotonic() - started_s,
            lines=_lines(run.history),
            starts=len(run.nodes.read_bytes().splitlines()),
        )


def _lines(history: Path) -> dict[str, int]:
    """Lines by writer, a writer being a node and its incarnation."""
    counts: Counter[str] = Counter()
    with history.open("rb") as file:
        for line in jsonl.lines(file):
            with contextlib.suppress(msgspec.DecodeError):
                writer = jsonl.decode(_writer, line or b"")
                counts[f"{writer.node}/{writer.inc}"] += 1
    return dict(counts)


class _Writer(msgspec.Struct):
    node: str
    inc: int


_writer = msgspec.json.Decoder(_Writer)


async def _drive(
    swarm: Swarm, producer: asyncio.Task[None], interrupt: Interrupt, until: asyncio.Task[None] | None
) -> None:
    """Wait for the workload's end, for the user, or for another end that was given."""
    asked = asyncio.ensure_future(interrupt.asked.wait())
    ends: set[asyncio.Future[Any]] = {producer, asked}
    try:
        await asyncio.wait(ends | {until} if until else ends, return_when=asyncio.FIRST_COMPLETED)
        if not producer.done():
            await swarm.stop_producer()
        await producer
    finally:
        asked.cancel()


async def _show(swarm: Swarm, progress: Callable[[str], None]) -> None:
    while True:
        with contextlib.suppress(RequestError):
            backlog = await swarm.backlog()
            progress(f"{backlog.registers:,} of {swarm.spec.tasks:,} tasks ended")
        await asyncio.sleep(LOOK_S)


async def _drain(swarm: Swarm, bound_s: float, progress: Callable[[str], None]) -> bool:
    """Wait until everything accepted has ended and been delivered; False if the bound passed first.

    The bound can be minutes, so it is said what is waited for, and how long yet.
    """
    deadline = time.monotonic() + bound_s
    said_s = time.monotonic()
    stands = "the broker does not answer"
    while (now_s := time.monotonic()) < deadline:
        with contextlib.suppress(RequestError):
            backlog: Backlog = await swarm.backlog()
            if backlog.drained:
                return True
            stands = f"{backlog.registers:,} tasks have ended, not yet every job and effect"
        if now_s - said_s >= SAY_EVERY_S:
            progress(f"draining: {stands}; it is given up in {deadline - now_s:.0f} s")
            said_s = now_s
        await asyncio.sleep(LOOK_S / 5)
    return False


def _limits(swarm: Swarm) -> list[str]:
    return [
        *swarm.limits,
        "durability dev: one server, synced to disk every two minutes; a power loss may lose accepted tasks",
    ]


def _environment(swarm: Swarm, adversary: Adversary) -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "nats_server": swarm.server_version,
        "toxiproxy": adversary.tools.get("toxiproxy"),
        "cpus": os.cpu_count(),
        "platform": platform.platform(),
    }


def judge(path: Path) -> Result:
    """Have the harness judge a run's directory, and write the result there.

    Raises:
        SpecError: The harness is not installed.
    """
    for entry in importlib.metadata.entry_points(group="squall.judge"):
        result: Result = entry.load()(path)
        return result
    raise SpecError("nothing here can judge a run", "install squall with its chaos part")
