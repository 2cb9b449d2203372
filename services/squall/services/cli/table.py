"""A result for people: in words, then its figures, its faults, its checks, its limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from squall.services.cli.layout import Cell, Flow, Listing, Pairs, Paragraph
from squall.services.cli.terminal import Terminal, styled
from squall.services.run import hints
from squall.services.run.result import HANDLER_CHECK, Check, Fault, Recovery, Result, blamed_on_handler
from squall.services.run.summary import in_words

ABSENT = "–"
_VERDICTS = {"pass": "green", "fail": "bold red", "unknown": "yellow"}

Figures = Sequence[tuple[str, Text]]

FAULTS = ("fault", "target", "held", "")
CHECKS = ("check", "verdict", "")
LIMITS = ("limits of this run",)
"""The headers of the tables."""


def print_table(result: Result, console: Terminal, run: Path) -> None:
    """Print a result: in words, what was run, its figures, its faults, its checks, its limits.

    What the user's own handler did wrong comes before all of it.

    Args:
        run: The run's directory.
    """
    if blame := blamed_on_handler(result):
        console.print(Paragraph(styled(blame, "bold red")))
        console.print(more_of(result, run), "", sep="\n", soft_wrap=True)
    counts, measures = figures(result)
    console.print(Paragraph(styled(in_words(result), "bold")), "", _title(result), "", sep="\n")
    console.print(Pairs(counts, measures))
    if result.faults:
        console.print("", _faults(result.faults), sep="\n")
    console.print("", _checks(result.checks), sep="\n")
    if result.limits:
        console.print("", Listing(LIMITS, [[limit] for limit in result.limits]), sep="\n")
    console.print()


def more_of(result: Result, run: Path) -> str:
    """Where more is told of what the user's own handler did wrong.

    Args:
        run: The run's directory.
    """
    task = next((check.task for check in result.checks if check.id == HANDLER_CHECK), "")
    return f"see `{hints.trace(task, run) if task else hints.command('report', run)}`"


def _title(result: Result) -> Flow:
    facts = [
        f"run {result.run}",
        f"seed {_count(result.seed, separator='')}",
        f"{_count(result.agents)} agents",
        f"on {result.target or ABSENT}",
    ]
    pattern = styled(result.pattern or "pattern unknown", "bold")
    return Flow([pattern, *(styled(fact, "dim") for fact in facts)])


def figures(result: Result) -> tuple[Figures, Figures]:
    """Counts, and measures, each with its name."""
    latency, recovery = result.latency_ms, result.recovery_s
    counts = [
        ("offered", _plain(result.offered)),
        ("accepted", _plain(result.accepted)),
        ("effects", _plain(result.effects)),
        ("lost", _bad(result.lost)),
        ("duplicated", _bad(result.duplicated)),
        ("conflicting", _bad(result.conflicting)),
        ("dead letters", _bad(result.dead_letters)),
        ("suppressed", _plain(result.duplicates_suppressed)),
        ("refused effects", _bad(result.refused_effects)),
        ("refused writes", _plain(result.refused_writes)),
    ]
    measures = [
        ("availability", _share(result.availability)),
        ("reliability", _reliability(result)),
        ("latency p50", _ms(latency.p50)),
        ("latency p95", _ms(latency.p95)),
        ("latency p99", _ms(latency.p99)),
        ("latency max", _ms(latency.max)),
        ("tasks per second", _number(result.throughput_per_s)),
        ("take-over", _seconds(recovery.detect)),
        ("fail-over", _failed_over(recovery)),
        ("drain", _seconds(recovery.drain)),
        ("duration", _seconds(result.duration_s)),
    ]
    return counts, [(name, styled(value)) for name, value in measures]


def _failed_over(recovery: Recovery) -> str:
    """A dash beside a take-over would look as if it were missing."""
    if recovery.failover is None and recovery.detect is not None:
        return "not timed"
    return _seconds(recovery.failover)


def _faults(faults: tuple[Fault, ...]) -> Listing:
    rows: list[list[Cell]] = []
    for fault in faults:
        held = None if fault.end_s is None else fault.end_s - fault.start_s
        verified = styled("verified", "green") if fault.verified else styled("not verified", "yellow")
        rows.append([fault.kind, fault.target, _seconds(held), verified])
    return Listing(FAULTS, rows)


def _checks(checks: tuple[Check, ...]) -> Listing:
    rows: list[list[Cell]] = []
    for check in checks:
        verdict = styled(check.said, _VERDICTS[check.verdict] if check.exercised else "dim")
        rows.append([f"{check.id} {check.name}", verdict, check.detail])
    return Listing(CHECKS, rows)


def _count(count: int | None, *, separator: str = ",") -> str:
    return ABSENT if count is None else f"{count:{separator}}"


def _plain(count: int | None) -> Text:
    return styled(_count(count))


def _bad(count: int | None) -> Text:
    """A count that ought to be zero."""
    return styled(_count(count), "bold red" if count else "")


def _share(share: float | None) -> str:
    """A percentage that says 100 only of the whole."""
    if share is None:
        return ABSENT
    return f"{share:.0%}" if share in (0.0, 1.0) else f"{min(share, 0.9999):.2%}"


def _reliability(result: Result) -> str:
    if result.reliability is None or result.reliability_interval is None:
        return _share(result.reliability)
    low, high = result.reliability_interval
    return f"{_share(result.reliability)} ({_share(low)} to {_share(high)})"


def _ms(value: float | None) -> str:
    return ABSENT if value is None else f"{_number(value)} ms"


def _seconds(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.2f} s"


def _number(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.1f}"
