"""The result document, its exit code and its table."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from squall.services.cli.table import print_table
from squall.services.run.result import (
    Check,
    Environment,
    Fault,
    Latency,
    Recovery,
    Result,
    Verdict,
    document,
    exit_code,
)

CONTRACT = [
    "pattern",
    "run",
    "seed",
    "target",
    "revision",
    "durability",
    "agents",
    "workload",
    "offered",
    "accepted",
    "effects",
    "dead_letters",
    "cancelled",
    "lost",
    "duplicated",
    "conflicting",
    "duplicates_suppressed",
    "refused_effects",
    "refused_writes",
    "availability",
    "reliability",
    "reliability_interval",
    "latency_ms",
    "throughput_per_s",
    "duration_s",
    "recovery_s",
    "faults",
    "checks",
    "limits",
    "environment",
    "refused",
    "interrupted",
    "one_order_each",
    "broker",
]

NOTHING: dict[str, Any] = {
    **dict.fromkeys(CONTRACT),
    "run": "r1",
    "latency_ms": Latency(),
    "recovery_s": Recovery(),
    "faults": (),
    "checks": (),
    "limits": (),
    "environment": Environment(),
    "broker": (),
}

FULL: dict[str, Any] = {
    **NOTHING,
    "pattern": "hierarchical",
    "seed": 12_345,
    "agents": 4,
    "target": "processes",
    "offered": 1_000_000,
    "accepted": 999_999,
    "effects": 999_998,
    "lost": 1,
    "reliability": 999_998 / 1_000_000,
    "reliability_interval": (0.99999, 1.0),
    "latency_ms": Latency(p50=4.1, p95=1088.2, p99=1210.4, max=12_430.7),
    "faults": (Fault(kind="pause", target="leader", start_s=1.0, end_s=3.5, verified=True),),
    "checks": (
        Check(id="H1", name="no-loss", verdict="fail", detail="1 task lost [bold]: a-1 " + "and so on " * 9),
        Check(id="H4", name="coordinator-failover", verdict="unknown", detail="No failover happened."),
    ),
    "limits": ("durability dev: a power loss may lose accepted tasks " * 2,),
}


def result(**fields: Any) -> Result:
    return Result(**{**NOTHING, **fields})


IDLE = Check(id="H4", name="failover", verdict="unknown", detail="", exercised=False)


def verdicts(*given: Verdict) -> tuple[Check, ...]:
    return tuple(Check(id="H1", name="no-loss", verdict=verdict, detail="") for verdict in given)


@pytest.mark.parametrize(
    ("checks", "code"),
    [
        (verdicts("pass", "pass"), 0),
        (verdicts("pass", "fail"), 1),
        (verdicts("unknown", "fail"), 1),
        (verdicts("pass", "unknown"), 3),
        ((), 3),
        ((*verdicts("pass"), IDLE), 0),
        ((*verdicts("unknown"), IDLE), 3),
        ((IDLE,), 3),
    ],
    ids=[
        "all pass",
        "one fails",
        "one fails and one is unknown",
        "one is unknown",
        "there is none",
        "one was not exercised",
        "one is unknown and one was not exercised",
        "none was exercised",
    ],
)
def test_the_exit_code_follows_the_verdicts(checks: tuple[Check, ...], code: int) -> None:
    assert exit_code(result(checks=checks)) == code


def test_the_document_has_the_fields_of_the_contract_in_its_order() -> None:
    assert list(msgspec.json.decode(document(result()))) == CONTRACT


def test_absent_figures_are_null() -> None:
    read = msgspec.json.decode(document(result()))
    assert read["lost"] is None
    assert read["latency_ms"] == dict.fromkeys(["p50", "p95", "p99", "max"])
    assert read["recovery_s"] == dict.fromkeys(["detect", "failover", "drain"])


def test_the_document_is_one_line_or_indented() -> None:
    assert b"\n" not in document(result())
    assert document(result(), indent=2).startswith(b'{\n  "pattern"')
    assert msgspec.json.decode(document(result(**FULL), indent=2), type=Result) == result(**FULL)


def printed(shown: Result, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_table(shown, console, Path("run"))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_fits_and_keeps_names_and_figures_whole(width: int) -> None:
    table = printed(result(**FULL), width)
    assert max(map(len, table.splitlines())) <= width
    for whole in (
        "H4 coordinator-failover",
        "1,000,000",
        "12,430.7 ms",
        "seed 12345",
        "pause",
        "[bold]",
        "2.50 s",
    ):
        assert whole in table
    assert "…" not in table


def test_a_share_is_a_hundred_percent_only_if_it_is_the_whole() -> None:
    table = printed(result(**FULL), 80)
    assert "99.99% (99.99% to 100%)" in table


def test_absent_figures_are_shown_as_a_dash() -> None:
    table = printed(result(), 80)
    assert not re.search(r"\b0\b", table)
    assert table.count("–") == 3 + 21
