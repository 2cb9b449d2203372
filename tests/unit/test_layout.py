"""What the command prints fits 40, 80 and 120 columns, and nothing of it is cut."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests.unit.histories import good_run
from tests.unit.test_summary import CASES, PAUSED, check, result

from squall.chaos.cli.check import _show
from squall.chaos.evidence.task import gather
from squall.chaos.judge.exercised import Exercised, Struck, Together, Work
from squall.chaos.judge.series import Hits, Recovered, SeriesCheck, SeriesResult
from squall.chaos.plan.kinds import KINDS
from squall.chaos.tell.documents import history_of
from squall.chaos.tell.table import print_run, print_series
from squall.chaos.tell.trace import timeline
from squall.services.cli import doctor, plan
from squall.services.cli.doctor import Finding
from squall.services.cli.layout import Flow, Listing
from squall.services.cli.table import print_table
from squall.services.cli.terminal import Terminal
from squall.services.patterns import DEFAULT, PATTERNS
from squall.services.run.result import Latency, Recovery, Result

WIDTHS = (40, 80, 120)

RUN = Path("runs/20261127-092526-cbe88e")
PATH = "/home/somebody/with/a/long/name/and/a/deep/tree/.cache/squall/toxiproxy-2.12.0/toxiproxy-server"

TARGETS = [
    "leader",
    "standby",
    "any-agent",
    "all-agents",
    "minority",
    "gateway",
    "producer",
    "venue",
    "broker",
]


def printed(width: int, show: Callable[[Terminal], None]) -> str:
    file = io.StringIO()
    show(Terminal(file=file, width=width))
    return file.getvalue()


def a_run() -> Result:
    return result(
        run="20261127-092526-cbe88e",
        seed=12_345,
        agents=200,
        target="processes",
        reliability=0.9,
        reliability_interval=(0.99999, 1.0),
        latency_ms=Latency(p50=4.1, p95=1088.2, p99=1210.4, max=12_430.7),
        recovery_s=Recovery(detect=1.1, failover=1.32, drain=0.2),
        faults=(PAUSED,),
        checks=(
            check("fail", "H4", "coordinator-failover", f"It is so. {'a-word ' * 30}{'x' * 90}."),
            check("unknown", "U1", "nothing-unexplained", exercised=False),
        ),
        limits=("durability dev: one server, synced to disk every two minutes; a power loss may lose tasks",),
    )


def a_series() -> SeriesResult:
    found = Exercised(
        pattern=DEFAULT,
        faults=tuple(
            Struck(kind=kind, target=target, faults=number, verified=number - (number > 20))
            for number, kind in enumerate(KINDS, 9)
            for target in TARGETS
        ),
        together=(Together(kinds=("pause", "crash"), where="different nodes", times=3),),
        workloads=(
            Work(workload="ordinary", tasks=49_862, runs=2),
            Work(workload="unhurried", tasks=0, runs=0),
        ),
    )
    steps = [f"coordinator.{step}" for step in ("claimed", "resumed", "dispatched")]
    return SeriesResult(
        runs=(a_run(), a_run()),
        checks=(SeriesCheck(pattern=DEFAULT, id="H1", name="no-loss", verdict="pass", detail="It is " * 30),),
        recovery=(
            Recovered(pattern=DEFAULT, what="fail-over", runs=12, median_s=1.2, slowest_s=1.4, bound_s=20.0),
        ),
        coverage=tuple(
            Hits(pattern=DEFAULT, point=point, strike=strike, hits=number)
            for number, point in enumerate(steps)
            for strike in ("kill", "pause", "cut")
        ),
        exercised=(found,),
        all_faults=True,
        verdict="pass",
    )


FINDINGS = [
    Finding("toxiproxy-server", True, f"{PATH} (from cache)", needed=False),
    Finding("nats-server", False, f"NATS_SERVER names {PATH}", f"unset it, or `chmod +x {PATH}`"),
]

PRINTED: dict[str, Callable[[Terminal], None]] = {
    "a run": lambda console: print_table(a_run(), console, RUN),
    "a run in a series": lambda console: print_run(a_run(), console, RUN),
    "a series": lambda console: print_series(a_series(), console),
    "doctor": lambda console: doctor.show(FINDINGS, console),
    **{
        f"plan {name}": lambda console, of=pattern, name=name: plan.show(of.spec(pattern=name), console)
        for name, pattern in PATTERNS.items()
    },
    **{
        f"words, {case}": lambda console, of=fields: print_table(result(**of), console, RUN)
        for case, (fields, _) in CASES.items()
    },
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("show", PRINTED.values(), ids=PRINTED)
def test_no_line_is_too_wide_and_nothing_is_cut(show: Callable[[Terminal], None], width: int) -> None:
    shown = printed(width, show)
    assert max(map(len, shown.splitlines())) <= width
    assert [line for line in shown.splitlines() if line.endswith(" ")] == []
    assert "…" not in shown


@pytest.mark.parametrize("width", WIDTHS)
def test_paths_and_remedies_are_whole(width: int) -> None:
    together = re.sub(r"\s", "", printed(width, PRINTED["doctor"]))
    assert together.count(PATH) == 3
    assert "togetit:unsetit,or`chmod+x" in together


@pytest.mark.parametrize("width", WIDTHS)
def test_a_series_tells_the_same_at_any_width(width: int) -> None:
    together = " ".join(printed(width, PRINTED["a series"]).split())
    for whole in (
        "coordinator.dispatched",
        "hole",
        "blackhole-nofin",
        "1.20 s",
        "20.00 s",
        "H1 no-loss",
        "unhurried",
    ):
        assert whole in together
    struck = [kind for kind in KINDS if not re.search(rf"{kind} .*\d", together)]
    assert struck == []


def test_a_narrowed_series_tells_the_steps_at_which_nothing_struck_in_one_line() -> None:
    narrowed = msgspec.structs.replace(a_series(), all_faults=False)
    lines = printed(80, lambda console: print_series(narrowed, console)).splitlines()
    first = lines.index("struck at               kill  pause  cut")
    assert lines[first + 1 : first + 4] == [
        "coordinator.resumed     1     1      1",
        "coordinator.dispatched  2     2      2",
        "1 other step            ·     ·      ·",
    ]
    assert "hole" not in " ".join(lines).split()


def test_columns_keep_their_words_where_there_is_room_and_stand_below_each_other_where_not() -> None:
    listing = Listing(("check", "verdict", ""), [["H1 no-loss", "pass", "It is so, and it was so before."]])

    def lines(width: int) -> list[str]:
        return [line.rstrip() for line in printed(width, lambda console: console.print(listing)).splitlines()]

    assert lines(80) == ["check       verdict", "H1 no-loss  pass     It is so, and it was so before."]
    assert lines(40) == ["check  verdict", "H1 no-loss  pass", "  It is so, and it was so before."]


def test_facts_are_not_broken() -> None:
    facts = [f"accepted {number}" for number in range(8)]
    lines = printed(40, lambda console: console.print(Flow(facts, indent=8))).splitlines()
    assert [len(re.findall(r"accepted \d", line)) for line in lines] == [3, 2, 2, 1]
    assert all(line.startswith("        accepted") for line in lines[1:])


def test_plan_counts_the_processes_as_readme_does() -> None:
    for name, count in (("hierarchical", 10), ("star", 12)):
        document = plan.document(PATTERNS[name].spec(pattern=name))
        assert len(document["processes"]) == count
        assert {"broker", "venue", "gateway", "producer"} <= {
            each["process"] for each in document["processes"]
        }
        assert all(each["for"] for each in document["processes"])
        assert all(stream["for"] for stream in document["streams"])


@pytest.mark.parametrize("width", WIDTHS)
def test_what_a_sentence_quotes_never_begins_a_line(width: int) -> None:
    posing = result(checks=(check("fail", detail="verdict  pass " * 12),))
    first, *rest = (
        printed(width, lambda console: print_table(posing, console, RUN)).split("\n\n")[0].splitlines()
    )
    assert first.startswith("H1 no-loss failed: verdict pass")
    assert rest
    assert all(line.startswith("  ") for line in rest)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_trace_fits_and_is_whole(width: int, tmp_path: Path) -> None:
    path = good_run().write(tmp_path)
    evidence = gather(path, next(iter(history_of(path).submissions)))
    assert evidence is not None
    traced = timeline(evidence)
    shown = printed(width, lambda console: _show(traced, console))
    assert max(map(len, shown.splitlines())) <= width
    assert "…" not in shown
    together = " ".join(shown.split())
    assert [moment.what for moment in traced.moments if moment.what not in together] == []
