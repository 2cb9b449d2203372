"""What a ring of which one stage is left alone does to its own memory, and to another ring beside it.

    failing    squall chaos: attempts of stage 3 fail for so many seconds, its breaker opens, tasks wait
    beside it  squall run: another ring, with a broker of its own, on the same machine

Both have the same load. The other ring's latencies are those of tasks that were due before the stage failed,
while it did, and after; memory is what the operating system says of each process of the failing ring.
With --shed the failing ring sheds what is more than the mark.

    uv run python chaos/bench/isolation.py [--seconds 120] [--rate 20] [--shed 200] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from squall.chaos.evidence.model import History
from squall.chaos.judge.figures import latencies_ms
from squall.chaos.judge.tally import tally
from squall.chaos.tell.documents import history_of

SQUALL = Path(sys.executable).with_name("squall")
BEFORE_S, AFTER_S = 30.0, 30.0
"""How long both rings go on before the stage fails, and after it is well again."""

START_S = 10.0
"""What the failing ring may take longer to start than the other."""

WEIGH_S = 1.0
SETTLED_S = 10.0
"""Both rings have so long to come to themselves: once they have started, and once the stage fails."""

MIB = 1024 * 1024
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Figures:
    """What was measured.

    Attributes:
        p99_ms, p50_ms: Of the other ring, by when tasks were due: before, during and after.
        grew_mib: What each process grew by while the stage was left alone, that which grew most first.
        weighed_s: Over how long.
        waited: Tasks that came in meanwhile, at the failing ring.
        ended: How its tasks ended, by status.
    """

    p99_ms: Mapping[str, float]
    p50_ms: Mapping[str, float]
    grew_mib: Mapping[str, float]
    weighed_s: float
    waited: int
    ended: Mapping[str, int]


def specs(folder: Path, seconds: float, rate: float, shed: int) -> tuple[Path, Path, Path]:
    """The files of both rings, and the schedule of the one that fails."""
    load = f'pattern = "ring"\nrate_per_s = {rate}\npause_leader = false\ningress_max = 100000\n'
    tasks = int(rate * (BEFORE_S + seconds + AFTER_S + START_S))
    sheds = f'shed = "drop-oldest"\nbacklog_max = {shed}\n' if shed else ""
    failing, other, faults = folder / "failing.toml", folder / "other.toml", folder / "faults.toml"
    failing.write_text(f"{load}tasks = {tasks}\n{sheds}")
    other.write_text(f"{load}tasks = {tasks}\nseed = 8\n")
    faults.write_text(
        f'seed = 7\nquiet_s = {AFTER_S}\n[[interval]]\nfault = "errors"\ntarget = "stage-3"\n'
        f"at_s = {BEFORE_S}\nfor_s = {seconds}\n"
    )
    return failing, other, faults


async def command(*words: str | Path) -> asyncio.subprocess.Process:
    """A command of ours, of which only what is wrong is told."""
    none = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(SQUALL, *map(str, words), stdout=none)


async def weigh(run: Path, weighed: dict[str, list[int]]) -> None:
    """Note what each process of a run has in memory, again and again."""
    while True:
        for node, bytes_ in _weights(run).items():
            weighed.setdefault(node, []).append(bytes_)
        await asyncio.sleep(WEIGH_S)


def _weights(run: Path) -> dict[str, int]:
    """By node; one whose process is gone is left out."""
    found = {}
    for line in (run / "nodes.jsonl").read_bytes().splitlines():
        node = json.loads(line)
        with contextlib.suppress(OSError, IndexError):
            found[node["node"]] = int(Path(f"/proc/{node['pid']}/statm").read_text().split()[1]) * PAGE_BYTES
    return found


def figures(failing: History, other: History, weighed: Mapping[str, Sequence[int]]) -> Figures:
    """What both runs, and the scales, tell."""
    faults = [fault for fault in failing.faults if fault.verified and fault.end_s is not None]
    begin_s = min(fault.start_s for fault in faults)
    end_s = max(fault.end_s or 0.0 for fault in faults)
    samples = latencies_ms(other, tally(other))
    parts = {
        "before": [ms for due_s, ms in samples if begin_s - BEFORE_S + SETTLED_S <= due_s < begin_s],
        "during": [ms for due_s, ms in samples if begin_s + SETTLED_S <= due_s < end_s],
        "after": [ms for due_s, ms in samples if due_s >= end_s],
    }
    grew: dict[str, float] = {}
    for node, weights in weighed.items():
        grew[node] = (statistics.median(weights[-5:]) - statistics.median(weights[:5])) / MIB
    came = [o for o in failing.submissions.values() if o.outcome == "accepted" and o.intended_s is not None]
    statuses = [register.status for register in failing.registers]
    return Figures(
        p99_ms={name: round(_percentile(values, 99), 1) for name, values in parts.items()},
        p50_ms={name: round(_percentile(values, 50), 1) for name, values in parts.items()},
        grew_mib={node: round(grew[node], 1) for node in sorted(grew, key=lambda node: -grew[node])},
        weighed_s=round(end_s - begin_s - SETTLED_S, 1),
        waited=sum(begin_s <= (offer.intended_s or 0.0) < end_s for offer in came),
        ended={status: statuses.count(status) for status in sorted({*statuses})},
    )


def _percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100)[percent - 1] if len(values) > 1 else float("nan")


async def measure(folder: Path, seconds: float, rate: float, shed: int) -> Figures:
    """Have both rings run, and weigh the one that fails while it does."""
    failing, other, faults = specs(folder, seconds, rate, shed)
    beside = await command("run", other, "--out", folder / "other", "--quiet")
    struck = await command("chaos", failing, "--schedule", faults, "--out", folder / "failing", "--quiet")
    weighed: dict[str, list[int]] = {}
    while (run := _struck(folder / "failing")) is None:
        if struck.returncode is not None:
            beside.terminate()
            await beside.wait()
            sys.exit("the failing ring ended before its stage had failed")
        await asyncio.sleep(WEIGH_S)  # a look
    await asyncio.sleep(SETTLED_S)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds - SETTLED_S):
            await weigh(run, weighed)
    await asyncio.gather(beside.wait(), struck.wait())
    return figures(history_of(run), history_of(folder / "other"), weighed)


def _struck(folder: Path) -> Path | None:
    """The directory of the run of a series in which a fault is on record."""
    return next((path.parent for path in folder.rglob("faults.jsonl") if path.stat().st_size), None)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--shed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="squall-isolation-") as folder:
        found = asyncio.run(measure(Path(folder), asked.seconds, asked.rate, asked.shed))
    if asked.json:
        sys.stdout.write(json.dumps(asdict(found)) + "\n")
        return
    ratio = found.p99_ms["during"] / found.p99_ms["before"]
    for name, values in (("p50", found.p50_ms), ("p99", found.p99_ms)):
        said = ", ".join(f"{ms:,.1f} ms {part}" for part, ms in values.items())
        sys.stdout.write(f"the other ring's {name}: {said}\n")
    sys.stdout.write(
        f"its p99 during over before: {ratio:.2f}\n"
        f"the failing ring: {found.waited:,} tasks came in meanwhile; ended: {dict(found.ended)}\n"
        f"memory in {found.weighed_s:.0f} s, in MiB: {dict(found.grew_mib)}\n"
    )


if __name__ == "__main__":
    main()
