"""The result of a run, each figure checked by hand; and the command that judges again."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as Xml

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.histories import T, good_run
from typer.testing import CliRunner

from squall.chaos.judge import figures
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks import promises_of
from squall.chaos.judge.decide import Finding
from squall.chaos.judge.promise import Promises
from squall.chaos.tell.documents import history_of, judge
from squall.chaos.tell.page.figures import figures as page_figures
from squall.chaos.tell.table import print_run
from squall.services.cli.main import app
from squall.services.cli.table import figures as shown_figures
from squall.services.cli.terminal import Terminal
from squall.services.run.result import Latency, Recovery, Result
from squall.services.run.summary import in_words


def test_every_figure_of_a_good_run(tmp_path: Path) -> None:
    result = judge(good_run().write(tmp_path / "r1"))
    assert (result.pattern, result.run, result.seed, result.agents) == ("hierarchical", "r1", 7, 2)
    assert (result.target, result.workload) == ("processes", "independent")
    assert (result.revision, result.durability) == (None, None)
    assert (result.offered, result.accepted, result.effects, result.one_order_each) == (8, 6, 6, True)
    assert (result.dead_letters, result.cancelled, result.lost) == (0, 0, 0)
    assert (result.duplicated, result.conflicting) == (0, 0)
    # One commit that came second, and one order that the venue had filled before.
    assert result.duplicates_suppressed == 2
    assert result.refused_writes == 1
    assert result.availability == 6 / 8
    assert result.reliability == 1.0
    assert result.reliability_interval == pytest.approx((0.609666, 1.0), abs=1e-6)
    # Submitted at 0.1 n and 2 + 0.1 n, filled at 1 + 0.1 n and 3.5 + 0.1 n.
    assert result.latency_ms == Latency(p50=1000.0, p95=1500.0, p99=1500.0, max=1500.0)
    assert result.throughput_per_s == pytest.approx(6 / (4.1 - 0.1), abs=1e-3)
    assert result.duration_s == pytest.approx(22.0)
    assert result.recovery_s == Recovery(detect=1.25, failover=1.5, drain=15.5)
    assert [fault.kind for fault in result.faults] == ["pause"]
    assert [(check.id, check.verdict) for check in result.checks] == [
        (n, "pass") for n in ("H1", "H2", "H4", "H5", "U1", "U2")
    ]
    assert result.limits == ("one server",)
    assert (result.environment.python, result.environment.toxiproxy) == ("3.11", None)


def test_every_loss_and_repeat_is_counted(tmp_path: Path) -> None:
    run = good_run()
    run.drop("final", what="register", task="a-1")  # lost; and what it intended is filled without intent
    run.fills = [fill for fill in run.fills if fill[0] != "a-2.0"]  # lost
    run.fill(5.0, "a-3")  # filled twice
    run.journal.append(("a-4.0", '{"quantity":2}'))  # conflicting, and refused
    run.journal.append(("junk", None))  # no order at all
    run.find("final", task="a-6").update(status="cancelled", effects=[])
    run.fills = [fill for fill in run.fills if fill[0] != "a-6.0"]
    result = judge(run.write(tmp_path))
    assert (result.effects, result.one_order_each) == (3, False)
    assert result.lost == 2
    assert result.duplicated == 2
    assert result.conflicting == 1
    assert (result.dead_letters, result.cancelled) == (0, 1)
    # Journal 10, of which one is no order; fills 5; one repeated commit.
    assert result.duplicates_suppressed == 10 - 1 - 5 + 1
    assert result.reliability == 2 / 6
    assert {check.id: check.verdict for check in result.checks}["H1"] == "fail"


def test_an_effect_after_its_deadline_is_not_reliable(tmp_path: Path) -> None:
    run = good_run()
    run.spec["task_deadline_s"] = 1.2
    assert judge(run.write(tmp_path)).reliability == 3 / 6
    del run.spec["task_deadline_s"]
    assert judge(run.write(tmp_path)).reliability == 1.0


def test_absent_figures_are_null(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text('pattern = "hierarchical"\n')
    result = msgspec.structs.asdict(judge(tmp_path))
    given = {"pattern", "run", "latency_ms", "recovery_s", "faults", "checks", "limits", "environment"}
    given.add("broker")
    assert [name for name, value in result.items() if name not in given and value is not None] == []
    assert (result["latency_ms"], result["recovery_s"]) == (Latency(), Recovery())
    assert {check.verdict for check in result["checks"]} == {"unknown"}


def test_without_the_closing_line_nothing_is_said_of_registers(tmp_path: Path) -> None:
    run = good_run()
    run.drop("final", what="complete")
    result = judge(run.write(tmp_path))
    assert (result.lost, result.effects, result.dead_letters, result.reliability) == (None,) * 4
    assert (result.accepted, result.conflicting) == (6, 0)


def test_an_interrupted_run_says_so_whether_it_drained_or_not(tmp_path: Path) -> None:
    run = good_run()
    run.line(9.0, "squall", "interrupted", "ok")
    drained = judge(run.write(tmp_path / "drained"))
    assert drained.interrupted
    assert (
        drained.limits[0] == "interrupted after 8 tasks of 8 had been offered: nothing is known of the rest"
    )
    run.drop("final", what="complete")
    killed = judge(run.write(tmp_path / "killed"))
    assert killed.interrupted
    assert "had been offered, and not drained: nothing" in killed.limits[0]
    assert "The run was not read back to its end, because it was interrupted" in killed.checks[0].detail


def test_a_run_that_was_broken_off_says_so_and_prints_no_count_that_it_has_not(tmp_path: Path) -> None:
    run = good_run()
    run.drop("final", what="complete")
    result = judge(run.write(tmp_path))
    assert result.interrupted is None
    assert result.limits[0].startswith("broken off after 8 tasks of 8 had been offered")
    file = io.StringIO()
    print_run(result, Terminal(file=file, width=200), Path("seed-1"))
    assert "None" not in file.getvalue()
    assert "lost –" in file.getvalue()


def test_recovery_is_null_where_no_fault_asked_for_it(tmp_path: Path) -> None:
    run = good_run()
    run.faults.clear()
    assert judge(run.write(tmp_path)).recovery_s == Recovery()


@pytest.mark.parametrize(
    ("healed_s", "drain", "since"),
    [(4.5, 15.5, "last heal"), (2.6, 20.0 - 2.81, "end of the load")],  # whose last answer came at 2.81
)
def test_draining_counts_from_the_last_heal_or_from_the_end_of_the_load(
    tmp_path: Path, healed_s: float, drain: float, since: str
) -> None:
    run = good_run()
    run.faults[0]["end_s"] = T + healed_s
    result = judge(run.write(tmp_path))
    assert result.recovery_s.drain == pytest.approx(drain)
    assert f"{since} to all ended" in page_figures(result, history_of(tmp_path))


@pytest.mark.parametrize(
    ("struck", "start_s", "end_s", "recovery"),
    [
        ("coordinator-2", 3.3, 3.4, Recovery(detect=1.25, drain=15.5)),  # after it took over
        ("coordinator-2", 3.0, 3.4, Recovery(drain=15.5)),  # before, too
        ("agent-1 agent-2", 3.3, 3.6, Recovery(detect=1.25, drain=15.5)),  # who then make no room
        ("agent-1 agent-2", 2.1, 3.2, Recovery(detect=1.25, failover=1.5, drain=15.5)),
        ("agent-1", 3.3, 3.6, Recovery(detect=1.25, failover=1.5, drain=15.5)),
        ("broker", 3.3, 3.4, Recovery(detect=1.25, drain=15.5)),
    ],
)
def test_a_time_in_which_somebody_else_was_struck_says_nothing_of_a_fail_over(
    tmp_path: Path, struck: str, start_s: float, end_s: float, recovery: Recovery
) -> None:
    run = good_run()
    times = {"start_s": T + start_s, "end_s": T + end_s}
    run.faults += [{**run.faults[0], "node": node, "target": node, **times} for node in struck.split()]
    assert judge(run.write(tmp_path)).recovery_s == recovery


@pytest.mark.parametrize(
    ("due_s", "failover"),
    [
        ((2.4, 2.5, 2.6), 1.5),  # while nobody led
        ((3.3, 3.4, 3.45), 1.45),  # a moment after another did: what was due first counts
        ((0.9, 0.9, 0.9), 1.5),  # before the last that the leader stored, and so they waited
        ((0.9, 3.6, 3.7), 1.5),  # one waited, which was stored before the others were due
    ],
)
def test_time_in_which_nothing_was_due_is_no_part_of_a_fail_over(
    tmp_path: Path, due_s: tuple[float, ...], failover: float
) -> None:
    run = good_run()
    for task in ("a-7", "a-8"):
        for row in [row for row in run.rows if row.get("task") == task]:
            run.rows.remove(row)
    for number, at_s in enumerate(due_s, 4):
        run.find("submit", type="invoke", task=f"a-{number}")["submit_s"] = T + at_s
    recovery = judge(run.write(tmp_path)).recovery_s
    assert (recovery.detect, recovery.failover) == (1.25, failover)


def test_the_words_the_table_and_the_check_tell_the_same_time(tmp_path: Path) -> None:
    """However few tasks there are: of a take-over, not of what was stored after it."""
    run = good_run()
    run.drop("dispatch", term=10)
    judged = judge(run.write(tmp_path))
    (told,) = (check.detail for check in judged.checks if check.id == "H4")
    assert "1 takeover 1.25 s after the fault" in told
    assert (judged.recovery_s.detect, judged.recovery_s.failover) == (1.25, None)
    assert "another took over after 1.2 s" in in_words(judged)
    assert {name: text.plain for name, text in shown_figures(judged)[1]}["take-over"] == "1.25 s"


def test_a_pattern_without_checks_is_unknown(tmp_path: Path) -> None:
    run = good_run()
    run.spec["pattern"] = "carousel"
    (check,) = judge(run.write(tmp_path)).checks
    assert (check.verdict, check.detail) == ("unknown", "There are no checks for the pattern carousel.")


def test_a_check_that_breaks_is_unknown_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(case: Case) -> Finding:
        raise ZeroDivisionError("of all things")

    def with_a_broken_check(pattern: str) -> Promises:
        promises = promises_of(pattern)
        assert promises is not None
        broken_ones = [replace(p, check=broken) if p.id == "H2" else p for p in promises.promises]
        return replace(promises, promises=broken_ones)

    monkeypatch.setattr("squall.chaos.judge.run.promises_of", with_a_broken_check)
    checks = {check.id: check for check in judge(good_run().write(tmp_path)).checks}
    assert (checks["H2"].name, checks["H2"].verdict) == ("one-effect", "unknown")
    assert "ZeroDivisionError: of all things" in checks["H2"].detail
    assert checks["H1"].verdict == "pass"


def test_a_result_is_kept_whole_and_reads_back(tmp_path: Path) -> None:
    result = judge(good_run().write(tmp_path))
    assert msgspec.json.decode((tmp_path / "result.json").read_bytes(), type=Result) == result
    assert sorted(p.name for p in tmp_path.iterdir() if "result" in p.name) == ["result.json"]


def test_junit_shows_unknown_as_an_error_and_writes_what_xml_allows(tmp_path: Path) -> None:
    run = good_run()
    run.spec["pause_leader"] = True
    run.drop("fenced")
    run.find("final", task="a-2").update(status="dead", effects=[], reason="bell \x07 <&> 'quoted'")
    judge(run.write(tmp_path))
    suite = Xml.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("6", "2", "1")
    kinds = {case.get("name"): [child.tag for child in case] for case in suite}
    assert kinds == {
        "H1 no-loss": [],
        "H2 one-effect": ["failure"],
        "H4 coordinator-failover": ["error"],
        "H5 poison-containment": ["failure"],
        "U1 nothing-unexplained": [],
        "U2 no-needless-repeat": [],
    }
    assert "<&> 'quoted'" in (suite[3][0].get("message") or "")


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [
        # Newcombe, Two-Sided Confidence Intervals for the Single Proportion (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # By hand: of all, the lower bound is n / (n + z²).
        (10, 10, 0.7225, 1.0),
    ],
)
def test_the_wilson_interval(successes: int, trials: int, low: float, high: float) -> None:
    assert figures.wilson_interval(successes, trials) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**7).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_wilson_interval_holds_the_share_and_stays_within_bounds(case: tuple[int, int]) -> None:
    low, high = figures.wilson_interval(*case)
    assert 0 <= low <= case[0] / case[1] <= high <= 1


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (2, 1), (-1, 1)])
def test_the_wilson_interval_of_nonsense_is_refused(successes: int, trials: int) -> None:
    with pytest.raises(ValueError, match="trials"):
        figures.wilson_interval(successes, trials)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_the_smallest_value_that_reaches_its_rank(values: list[float], percent: int) -> None:
    ordered = sorted(values)
    found = figures.percentile(ordered, percent)
    assert sum(value <= found for value in ordered) * 100 >= percent * len(ordered)
    assert sum(value < found for value in ordered) * 100 < percent * len(ordered)


# The command.


@pytest.fixture
def command() -> CliRunner:
    from squall.chaos.cli.check import check

    if not any(known.name == "check" for known in app.registered_commands):
        app.command(name="check")(check)
    return CliRunner()


def test_check_prints_the_document_alone_and_leaves_the_directory(command: CliRunner, tmp_path: Path) -> None:
    good_run().write(tmp_path)
    before = sorted(tmp_path.iterdir())
    ran = command.invoke(app, ["check", str(tmp_path), "--json"])
    assert (ran.exit_code, ran.stderr) == (0, "")
    assert msgspec.json.decode(ran.stdout, type=Result).accepted == 6
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(("register", "code"), [("a-1", 1), (None, 3)])
def test_check_ends_with_the_code_of_its_verdicts(
    register: str | None, code: int, command: CliRunner, tmp_path: Path
) -> None:
    run = good_run()
    if register is None:
        run.drop("final", what="complete")
    else:
        run.drop("final", what="register", task=register)
    ran = command.invoke(app, ["check", str(run.write(tmp_path))])
    assert ran.exit_code == code
    assert "no-loss" in ran.stdout


def test_check_of_no_run_is_one_sentence_with_the_remedy(command: CliRunner, tmp_path: Path) -> None:
    ran = command.invoke(app, ["check", str(tmp_path), "--json"])
    assert ran.exit_code == 2
    assert set(msgspec.json.decode(ran.stdout)["error"]) == {"kind", "message", "remedy"}
    assert ran.stderr.count("\n") == 1


def test_times_are_those_of_the_lines(tmp_path: Path) -> None:
    (fault,) = judge(good_run().write(tmp_path)).faults
    assert (fault.start_s, fault.end_s, fault.verified) == (T + 2.0, T + 4.5, True)
