"""Give many sequences of operations to nats-server and to the model, and count what differs.

python -m tests.model.sequences 2000 [--seed 1] [--restarts 100]
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tests.model.operations import Operation, sequences
from tests.model.together import differences, differences_over_restarts, own_server

LENGTH = 40
AT_A_TIME = 32


@dataclass
class Figures:
    """What was compared."""

    sequences: int = 0
    operations: int = 0
    differences: list[str] = field(default_factory=list)
    wall_s: float = 0.0
    cpu_s: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.sequences} sequences, {self.operations} operations, {len(self.differences)} differences; "
            f"{self.wall_s:.0f} s, {self.cpu_s:.0f} s of CPU for both clients and the model"
        )


def draw(number: int, length: int, seeded: int, *, evenly: bool = False) -> list[list[Operation]]:
    """That many sequences, always the same for a seed; see `operations.operations`."""
    drawn: list[list[Operation]] = []

    @settings(max_examples=2, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @seed(seeded)
    @given(st.tuples(*[sequences(length, evenly=evenly)] * number))
    def take(sample: tuple[list[Operation], ...]) -> None:
        drawn[:] = sample  # the first is the simplest there is

    take()
    return drawn


async def compare(number: int, first_seed: int = 1) -> Figures:
    """Compare that many sequences of `LENGTH` operations."""
    figures, began, cpu = Figures(), time.monotonic(), time.process_time()
    async with own_server() as running:
        while figures.sequences < number:
            drawn = [
                each
                for part in range(4)
                for each in draw(AT_A_TIME // 4, LENGTH, first_seed * 100_000 + figures.sequences + part)
            ][: number - figures.sequences]
            figures.differences += await differences(running, drawn)
            figures.sequences += len(drawn)
            figures.operations += sum(map(len, drawn))
            if figures.sequences % 320 == 0:
                so_far = f"{figures.sequences} sequences so far, {len(figures.differences)} differences"
                print(so_far, file=sys.stderr)  # noqa: T201
    figures.wall_s, figures.cpu_s = time.monotonic() - began, time.process_time() - cpu
    return figures


async def compare_restarts(number: int, first_seed: int = 1, *, evenly: bool = False) -> Figures:
    """Compare that many sequences, with the server killed after each third of them."""
    figures, began, cpu = Figures(), time.monotonic(), time.process_time()
    while figures.sequences < number:
        drawn = draw(8, 36, first_seed * 100_000 + 50_000 + figures.sequences, evenly=evenly)
        parts = [[each[0:12], each[12:24], each[24:36]] for each in drawn]
        async with own_server() as running:
            figures.differences += await differences_over_restarts(running, parts)
        figures.sequences += len(drawn)
        figures.operations += sum(map(len, drawn))
    figures.wall_s, figures.cpu_s = time.monotonic() - began, time.process_time() - cpu
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sequences", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--evenly", action="store_true", help="draw all alike in those with restarts")
    parser.add_argument("--restarts", type=int, default=0, help="sequences with restarts between")
    asked = parser.parse_args()
    found: list[str] = []
    if asked.sequences:
        figures = asyncio.run(compare(asked.sequences, asked.seed))
        print(figures)  # noqa: T201
        found += figures.differences
    if asked.restarts:
        figures = asyncio.run(compare_restarts(asked.restarts, asked.seed, evenly=asked.evenly))
        print(f"with restarts: {figures}")  # noqa: T201
        found += figures.differences
    for difference in found[:10]:
        print("-----", difference)  # noqa: T201
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
