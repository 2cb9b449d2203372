"""What has been written into a run's history so far, counted line by line."""

from __future__ import annotations

import contextlib
from collections import Counter
from pathlib import Path

import msgspec

from squall.services import jsonl


def lines_by_writer(history: Path) -> dict[str, int]:
    """Lines by writer, a writer being a node and its incarnation."""
    counts: Counter[tuple[str, int]] = Counter()
    with history.open("rb") as file:
        for line in jsonl.lines(file):
            try:
                writer = jsonl.decode(_writer, line or b"")
            except msgspec.DecodeError:
                continue
            counts[writer.node, writer.inc] += 1
    return {f"{node}/{incarnation}": count for (node, incarnation), count in counts.items()}


def submitted(history: Path) -> tuple[int, int]:
    """How many tasks were offered, and how many of them accepted, by the producer's lines."""
    offered: set[str] = set()
    accepted: set[str] = set()
    with history.open("rb") as file:
        for line in jsonl.lines(file):
            if line is not None and b'"op":"submit"' in line:
                with contextlib.suppress(msgspec.DecodeError):
                    said = jsonl.decode(_submit, line)
                    offered.add(said.task)
                    if said.type == "ok":
                        accepted.add(said.task)
    return len(offered), len(accepted)


class _Submit(msgspec.Struct):
    task: str
    type: str


_submit = msgspec.json.Decoder(_Submit)


class _Writer(msgspec.Struct):
    node: str
    inc: int


_writer = msgspec.json.Decoder(_Writer)
