"""An effect that is refused for a reason that is written down is neither lost nor passed over in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.histories import Run, case_in, good_run

from squall.chaos.evidence.task import gather
from squall.chaos.judge.checks.hierarchical import no_loss
from squall.chaos.judge.checks.ledger import compare
from squall.chaos.judge.decide import Finding
from squall.chaos.tell.documents import history_of, judge
from squall.chaos.tell.trace import timeline
from squall.services.trading.orders import Row

REASON = "an order needs account and price; price is missing"


def refuse(run: Run, what: str = "rejected", *, n: int = 3, told: bool = True, booked: bool = True) -> None:
    """Let the order of task ``a-n`` have been refused instead of filled."""
    order_id = f"a-{n}.0"
    run.fills = [fill for fill in run.fills if fill[0] != order_id]
    run.journal = [request for request in run.journal if request[0] != order_id]
    if what == "rejected":
        run.journal.append((order_id, None))
        if booked:
            run.refusals.append((order_id, REASON))
    if told:
        run.line(4.2, "gateway", "refuse", "fail", what=what, task=f"a-{n}", order_id=order_id, reason=REASON)


def judged(run: Run, path: Path) -> Finding:
    return no_loss(case_in(run.write(path)))


@pytest.mark.parametrize("what", ["rejected", "declined", "unsendable", "unapproved"])
def test_a_refused_effect_is_counted_and_named_and_not_lost(what: str, tmp_path: Path) -> None:
    run = good_run()
    refuse(run, what)
    refuse(run, what, n=5)
    result = judge(run.write(tmp_path))
    assert (result.effects, result.lost, result.refused_effects) == (4, 0, 2)
    check = result.checks[0]
    assert (check.id, check.verdict) == ("H1", "pass")
    assert f"6 intents, 4 filled once, 2 refused with a reason, the first a-3.0: {REASON}." in check.detail
    assert result.reliability == pytest.approx(4 / 6)


def test_a_run_without_refusals_says_none(tmp_path: Path) -> None:
    result = judge(good_run().write(tmp_path))
    assert result.refused_effects == 0
    assert "each filled once" in result.checks[0].detail


def test_a_rejected_order_without_a_reason_anywhere_is_lost(tmp_path: Path) -> None:
    run = good_run()
    refuse(run, told=False, booked=False)
    assert judged(run, tmp_path).verdict == "fail"
    result = judge(tmp_path)
    assert (result.lost, result.refused_effects) == (1, 0)
    assert "1 intent has no fill: a-3.0" in result.checks[0].detail


def test_that_the_venue_rejected_an_order_is_believed_of_its_books_alone(tmp_path: Path) -> None:
    run = good_run()
    refuse(run, booked=False)
    check = judged(run, tmp_path)
    assert check.verdict == "fail"
    assert "1 intent has no fill: a-3.0" in check.detail
    assert "no line of it in the venue's books" in check.detail


def test_a_rejection_that_the_gateway_kept_to_itself_fails(tmp_path: Path) -> None:
    run = good_run()
    refuse(run, told=False)
    check = judged(run, tmp_path)
    assert (check.verdict, "no line of the gateway" in check.detail) == ("fail", True)


def test_a_reason_that_is_told_of_another_task_excuses_nothing(tmp_path: Path) -> None:
    run = good_run()
    refuse(run, "declined")
    run.find("refuse")["task"] = "a-4"
    check = judged(run, tmp_path)
    assert (check.verdict, "1 intent has no fill" in check.detail) == ("fail", True)


def test_a_refused_effect_that_was_filled_fails(tmp_path: Path) -> None:
    run = good_run()
    fills = list(run.fills)
    refuse(run, "declined")
    run.fills = fills
    check = judged(run, tmp_path)
    assert (check.verdict, "1 refused order has a fill: a-3.0" in check.detail) == ("fail", True)


def test_a_refusal_told_twice_counts_once(tmp_path: Path) -> None:
    run = good_run()
    refuse(run)
    run.line(
        4.3,
        "gateway",
        "refuse",
        "fail",
        **{k: run.find("refuse")[k] for k in ("what", "task", "order_id", "reason")},
    )
    assert judge(run.write(tmp_path)).refused_effects == 1


def test_where_everything_was_refused_nothing_is_shown_of_losses(tmp_path: Path) -> None:
    run = good_run()
    for n in range(1, 7):
        refuse(run, n=n)
    check = judged(run, tmp_path)
    assert check.verdict == "unknown"
    assert "othing was filled, 6 refused with a reason, the first a-1.0" in check.detail


@pytest.mark.parametrize("change", [{"what": "disliked"}, {"reason": None}, {"order_id": 7}])
def test_a_malformed_refusal_is_a_doubt(change: dict[str, object], tmp_path: Path) -> None:
    run = good_run()
    refuse(run)
    run.find("refuse").update(change)
    assert any("malformed" in text for text in history_of(run.write(tmp_path)).unreadable)


def row(n: int) -> Row:
    return (f"a-{n}.0", "a", "s", n, "buy", 1, 1.0)


def test_the_ledger_may_lack_what_was_refused_with_a_reason_and_nothing_else(tmp_path: Path) -> None:
    run = good_run()
    refuse(run)
    case = case_in(run.write(tmp_path))
    assert case.history.venue is not None
    there = {entry[0]: entry for entry in case.history.venue.ledger}
    computed = {f"a-{n}": [there.get(f"a-{n}.0", row(n))] for n in range(1, 9)}
    check = compare(case, computed)
    assert check.verdict == "pass"
    assert f"1 more were refused with a reason, the first a-3.0: {REASON}" in check.detail
    refuse(run, told=False, booked=False, n=4)
    check = compare(case_in(run.write(tmp_path)), computed)
    assert (check.verdict, "no row in the ledger: a-4.0" in check.detail) == ("fail", True)


@pytest.mark.parametrize("what", ["rejected", "declined", "unsendable"])
def test_a_trace_tells_why_an_order_was_refused(what: str, tmp_path: Path) -> None:
    run = good_run()
    refuse(run, what)
    evidence = gather(run.write(tmp_path), "a-3")
    assert evidence is not None
    found = timeline(evidence)
    assert (found.fate, found.outcome) == ("rejected", f"Order a-3.0 refused: {REASON}.")
    told = {moment.what: moment.detail for moment in found.moments}
    assert told["refused"] == f"order a-3.0: {REASON}"
    if what == "rejected":
        assert told["received"] == f"order a-3.0, which it rejected: {REASON}"


def test_a_trace_of_a_rejected_order_without_a_reason_says_lost(tmp_path: Path) -> None:
    run = good_run()
    refuse(run, told=False, booked=False)
    evidence = gather(run.write(tmp_path), "a-3")
    assert evidence is not None
    found = timeline(evidence)
    assert (found.fate, found.outcome) == ("lost", "LOST: order a-3.0 was never filled.")
