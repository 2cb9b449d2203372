"""Many sequences of operations at a time, on one server."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.model.differential import Difference, Run
from tests.model.operations import Operation
from tests.model.wire import Server, server

_NUMBERS = itertools.count(1)
"""So that no two runs of a process have the same prefix, also where hypothesis repeats one."""

SILENT_S = 0.4
"""Longer than a consumer's state may be unwritten."""


async def _alone(run: Run, operations: Sequence[Operation]) -> str | None:
    try:
        await run.begin()
        await run.carry_out(operations)
        await run.end()
    except Difference as difference:
        with contextlib.suppress(Difference, TimeoutError):
            await run.end()
        return str(difference)
    return None


async def differences(running: Server, sequences: Sequence[Sequence[Operation]]) -> list[str]:
    """Give each sequence to the server and to a model of its own, all at a time; what differs."""
    runs = [Run(running.port, f"d{number}", number) for number in itertools.islice(_NUMBERS, len(sequences))]
    found = await asyncio.gather(*map(_alone, runs, sequences))
    return [difference for difference in found if difference]


async def differences_over_restarts(
    running: Server, sequences: Sequence[Sequence[Sequence[Operation]]]
) -> list[str]:
    """The same, with the server killed between the parts of the sequences."""
    numbers = itertools.islice(_NUMBERS, len(sequences))
    runs = [Run(running.port, f"d{number}", number, durable=True) for number in numbers]
    try:
        await asyncio.gather(*(run.begin() for run in runs))
        for part in zip(*sequences, strict=True):
            await asyncio.gather(
                *(run.carry_out(operations) for run, operations in zip(runs, part, strict=True))
            )
            await asyncio.gather(*(run.keep_clear() for run in runs))
            await asyncio.gather(*(run.until(run.now() + SILENT_S) for run in runs))
            for run in runs:
                run.broker.kill()
            await running.kill()
            await running.start()
            for run in runs:
                run.broker.start()
            await asyncio.gather(*(run.back() for run in runs))
        await asyncio.gather(*(run.end() for run in runs))
    except Difference as difference:
        return [str(difference)]
    finally:
        await asyncio.gather(*(run.wire.close() for run in runs))
    return []


@contextlib.asynccontextmanager
async def own_server() -> AsyncIterator[Server]:
    """A server whose directory goes with it."""
    with TemporaryDirectory(prefix="squall-model-") as directory:
        async with server(Path(directory)) as running:
            yield running
