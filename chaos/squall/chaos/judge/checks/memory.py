"""U3: at the end of an experiment no node holds much more memory than in its steady state. Pure."""

from __future__ import annotations

from squall.chaos.evidence.facts import Weighed
from squall.chaos.evidence.model import History
from squall.chaos.judge.case import Case
from squall.chaos.judge.decide import Finding, decide, some, unknown
from squall.chaos.judge.promise import Promise

FACTOR = 1.25
MORE_KIB = 16 * 1024
"""What a process may have in the end: so many times what it had, and so much more, for what an outage leaves
with it. In good runs the one that grew most had 3 MiB more. Higher lets a slow leak pass; lower fails who
filled a buffer once, or a cache of a handler."""


def was_weighed(history: History) -> bool:
    """Whether anybody looked."""
    return bool(history.memory)


def memory_bounded(case: Case) -> Finding:
    """U3: of each process that lived from the steady state to the end."""
    first: dict[tuple[str, str], Weighed] = {}
    last: dict[tuple[str, str], Weighed] = {}
    for weighed in case.history.memory:
        who = (weighed.of, weighed.unit)
        first.setdefault(who, weighed)
        last[who] = weighed
    whole = [who for who in first if last[who] is not first[who]]
    if not whole:
        return unknown("no process lived from the steady state to the end")
    grown = [
        f"{who[0]} from {_mib(first[who])} to {_mib(last[who])} MiB"
        for who in whole
        if last[who].kib > FACTOR * first[who].kib + MORE_KIB
    ]
    largest = max(whole, key=lambda who: last[who].kib - first[who].kib)
    return decide(
        case,
        shown=[f"memory grew beyond its bound: {some(grown)}"] if grown else [],
        passed=f"{len(whole)} processes weighed at both ends; most grew {largest[0]}, from "
        f"{_mib(first[largest])} to {_mib(last[largest])} MiB.",
    )


def _mib(weighed: Weighed) -> int:
    return round(weighed.kib / 1024)


MEMORY = Promise(
    id="U3",
    name="memory-bounded",
    text="At the end no node holds much more memory than in its steady state.",
    check=memory_bounded,
    when=was_weighed,
    sometimes=True,
)
