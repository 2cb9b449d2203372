"""A result as a table for people."""

from __future__ import annotations

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from squall.services.cli.terminal import Terminal, spaced, styled
from squall.services.run.result import Check, Fault, Result, blamed_on_handler

ABSENT = "–"
_VERDICTS = {"pass": "green", "fail": "bold red", "unknown": "yellow"}


def print_table(result: Result, console: Terminal) -> None:
    """Print a result: what was run, its figures, its faults, its checks, its limits.

    What the user's own handler did wrong comes before all of it.
    """
    if blame := blamed_on_handler(result):
        console.print(indented(blame), "", sep="\n")
    console.print(_title(result), "", _figures(result), sep="\n")
    if result.faults:
        console.print("", _faults(result.faults), sep="\n")
    console.print("", _checks(result.checks), sep="\n")
    if result.limits:
        console.print("", _limits(result.limits), sep="\n")
    console.print()


def indented(text: str) -> Padding:
    """A text of a run's, indented on every line, so that no line of it can pose as one of ours."""
    return Padding(styled(text, "bold red"), (0, 0, 0, 2))


def _title(result: Result) -> Text:
    facts = [
        f"run {result.run}",
        f"seed {_count(result.seed, separator='')}",
        f"{_count(result.agents)} agents",
        f"on {result.target or ABSENT}",
    ]
    return spaced(styled(result.pattern or "pattern unknown", "bold"), styled("  ".join(facts), "dim"))


def _figures(result: Result) -> Table:
    """Counts on the left, measures on the right."""
    latency, recovery = result.latency_ms, result.recovery_s
    left = [
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
    right = [
        ("availability", _share(result.availability)),
        ("reliability", _reliability(result)),
        ("latency p50", _ms(latency.p50)),
        ("latency p95", _ms(latency.p95)),
        ("latency p99", _ms(latency.p99)),
        ("latency max", _ms(latency.max)),
        ("tasks per second", _number(result.throughput_per_s)),
        ("fail-over", _seconds(recovery.failover)),
        ("drain", _seconds(recovery.drain)),
        ("duration", _seconds(result.duration_s)),
    ]
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(justify="right", min_width=9)
    table.add_column(min_width=2)
    table.add_column()
    table.add_column()
    for (name, count), (measure, value) in zip(left, right, strict=True):
        table.add_row(styled(name, "dim"), count, "", styled(measure, "dim"), styled(value))
    return table


def _faults(faults: tuple[Fault, ...]) -> Table:
    table = _table("fault", "target", "held", "")
    for fault in faults:
        held = None if fault.end_s is None else fault.end_s - fault.start_s
        verified = styled("verified", "green") if fault.verified else styled("not verified", "yellow")
        table.add_row(styled(fault.kind), styled(fault.target), styled(_seconds(held)), verified)
    return table


def _checks(checks: tuple[Check, ...]) -> Table:
    table = _table("check", "verdict", "")
    for check in checks:
        verdict = styled(check.verdict, _VERDICTS[check.verdict])
        table.add_row(styled(f"{check.id} {check.name}"), verdict, styled(check.detail))
    return table


def _limits(limits: tuple[str, ...]) -> Table:
    table = _table("limits of this run")
    for limit in limits:
        table.add_row(styled(limit))
    return table


def _table(*headers: str) -> Table:
    """Columns without lines; all but the last keep their words whole."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for header in headers[:-1]:
        table.add_column(header, no_wrap=True)
    table.add_column(headers[-1], overflow="fold")
    return table


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
