"""``squall sweep``: remove what a killed command has left behind."""

from __future__ import annotations

import asyncio

from squall.bus.guard import Guard
from squall.services.cli.options import AsJson
from squall.services.cli.sentences import sentences
from squall.services.launch.containers import sweep as sweep_containers
from squall.services.launch.engine import Engine
from squall.services.printing import print_document, print_line


def sweep(as_json: AsJson = False) -> None:
    """Remove containers and networks of runs whose command is gone; those of others are left alone."""
    with sentences(as_json=as_json):
        removed = asyncio.run(_sweep())
    if as_json:
        print_document({"removed": removed})
    elif removed:
        print_line(
            f"removed {removed:,} {'thing' if removed == 1 else 'things'} of runs whose command is gone"
        )
    else:
        print_line("nothing is left of a run whose command is gone")


async def _sweep() -> int:
    async with Guard() as guard:
        return await sweep_containers(await Engine.found(guard))
