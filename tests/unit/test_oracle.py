"""The harness's own oracle: by hand, beside the strategies on every day there is, and beside a golden ledger.

`golden_ledger.csv` is the ledger of the first 400 tasks of seed 7, written down once. Where it and the oracle
differ, one of the rules has changed, or the market data has.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from squall.chaos.evidence.closes import COLUMNS, closes
from squall.chaos.evidence.facts import Asked
from squall.chaos.evidence.model import History, Submission
from squall.chaos.judge.checks.ledger import computed, unoffered
from squall.chaos.judge.oracle import FINE, STRATEGIES, SYMBOLS, Account, Signal, Workload, ledger, units
from squall.services.trading import market
from squall.services.trading.orders import Row
from squall.services.trading.strategies import SIGNALS, TradingTask, order
from squall.services.trading.workload import Submission as Offered
from squall.services.trading.workload import independent

GOLDEN = Path(__file__).parent / "golden_ledger.csv"

_tasks = msgspec.msgpack.Decoder(TradingTask)


def by_the_strategies(offered: Offered) -> Row:
    made = order(_tasks.decode(offered.body))
    order_id = f"{offered.key}-{offered.number}-0"
    return (order_id, made.account, made.symbol, made.n, made.side, made.quantity, made.price)


def golden() -> list[Row]:
    with GOLDEN.open(newline="") as file:
        return [
            (order_id, account, symbol, int(n), side, int(quantity), float(price))
            for order_id, account, symbol, n, side, quantity, price in csv.reader(file)
        ]


BY_HAND: dict[str, tuple[str, Sequence[int], Sequence[int], int, int, int]] = {
    # strategy, closes, the other's, threshold in thousandths, units at risk: units, negative if sold
    # Mean 90, deviations 10, 10, 10 and -30: sqrt(300) = 17.32. 30 / 17.32 = 1.73; 10 * 1.73 / 2 = 8.66.
    "the last lies below the mean": ("mean-reversion", [100, 100, 100, 60], [], 1000, 10, 8),
    "the last lies above the mean": ("mean-reversion", [100, 100, 100, 140], [], 1000, 10, -8),
    # 1.73 is less than 1.8.
    "below the threshold": ("mean-reversion", [100, 100, 100, 60], [], 1800, 10, 0),
    # 50 * 1.73 / 0.5 / 2 = 86.6, and so is 10 * 1.73 / 0.2 / 2, but that may be 40 at most.
    "less than the most": ("mean-reversion", [100, 100, 100, 60], [], 500, 50, 86),
    "the most": ("mean-reversion", [100, 100, 100, 60], [], 200, 10, 40),
    "nothing moves": ("mean-reversion", [100, 100, 100, 100], [], 500, 50, 0),
    # Gains 0.1, -0.1 and 0.1: mean 0.0333, sqrt(0.02667 / 3) = 0.0943. 0.089 / 0.0943 = 0.944.
    "a gain": ("momentum", [10_000, 11_000, 9_900, 10_890], [], 500, 50, 47),
    # Gains -0.1, 0.1 and -0.1: 0.0943 as well. -0.109 / 0.0943 = -1.156; 50 * 1.156 / 0.5 / 2 = 57.8.
    "a loss": ("momentum", [10_000, 9_000, 9_900, 8_910], [], 500, 50, -57),
    # Ratios 2, 2, 2 and 3: mean 2.25, sqrt(0.75 / 4) = 0.433. -0.75 / 0.433 = -1.73.
    "a ratio above its mean": ("pairs", [200, 200, 200, 300], [100, 100, 100, 100], 1000, 10, -8),
    # 3 per cent less 1 per cent; 10 * 2 / 0.5 / 2 = 20.
    "the other gains more": ("arbitrage", [9, 10_000, 10_100], [5, 20_000, 20_600], 500, 10, 20),
    "the other gains less": ("arbitrage", [9, 10_000, 10_300], [5, 20_000, 20_200], 500, 10, -20),
}


@pytest.mark.parametrize(
    ("strategy", "own", "other", "threshold", "risk", "bought"), BY_HAND.values(), ids=BY_HAND
)
def test_a_strategy_comes_to_what_one_computes_by_hand(
    strategy: str, own: Sequence[int], other: Sequence[int], threshold: int, risk: int, bought: int
) -> None:
    signal = STRATEGIES[strategy](own, other)
    quantity = units(signal, threshold, risk)
    assert (quantity if signal.above > 0 else -quantity) == bought


def test_a_signal_at_its_threshold_counts() -> None:
    assert units(Signal(2 * FINE, FINE**2), 2000, 10) == 5
    assert units(Signal(2 * FINE - 1, FINE**2), 2000, 10) == 0


def test_the_closes_are_those_of_the_shipped_files() -> None:
    assert set(COLUMNS) == set(SYMBOLS) == set(market.SYMBOLS)
    assert (closes("sp500")[0], closes("wti")[:2]) == (122_810, [2556, 2600])
    for symbol in SYMBOLS:
        assert [close / 100 for close in closes(symbol)] == [bar.close for bar in market.bars(symbol)]


@pytest.mark.parametrize(("symbol", "strategy"), list(itertools.product(SYMBOLS, STRATEGIES)))
def test_the_strategies_come_to_the_same_on_every_day_there_is(symbol: str, strategy: str) -> None:
    accounts = ((seed, Account(seed, 1)) for seed in itertools.count(1))
    seed, account = next((s, a) for s, a in accounts if (a.symbol, a.strategy) == (symbol, strategy))
    for offered in independent(seed, len(closes(symbol)), accounts=1):
        assert by_the_strategies(offered) == account.row(offered.number)


@pytest.mark.parametrize("seed", [1, 7, 401])
def test_the_workload_is_the_producers_task_by_task(seed: int) -> None:
    workload = Workload(seed)
    for place, offered in enumerate(independent(seed, 1200)):
        task = f"{offered.key}-{offered.number}"
        assert (workload.task(place), workload.place(task)) == (task, place)
        assert workload.row(place) == by_the_strategies(offered)
    assert set(STRATEGIES) == set(SIGNALS)


@pytest.mark.parametrize("name", ["", "a", "a-1", "a0001-sp500", "a0001-none-1", "a0001-wti-x", "job"])
def test_a_name_that_the_workload_does_not_have_has_no_place(name: str) -> None:
    workload = Workload(7)
    first = workload.task(0)
    key = first.rpartition("-")[0]
    for task in (name, f"{key}-0", f"{key}-01", f"{key}--1", f"{first}-r1", f"{key}-²"):
        assert workload.place(task) is None


def test_the_ledger_is_the_golden_one() -> None:
    written_down = golden()
    workload = Workload(7)
    assert [workload.row(place) for place in range(len(written_down))] == written_down
    assert ledger(7, len(written_down)) == sorted(written_down)
    assert len({row[0] for row in written_down}) == len(written_down) == 400
    assert {row[4] for row in written_down} == {"buy", "sell", "none"}


def history(*places: int) -> History:
    """Tasks of seed 7 were offered, and one of another workload."""
    names = [*(Workload(7).task(place) for place in places), "b-1"]
    offers = {name: Submission(name, 1.0, "accepted") for name in names}
    return History(asked=Asked(seed=7), submissions=offers)


def test_what_is_demanded_is_that_of_the_tasks_that_were_offered() -> None:
    demanded = computed(history(0, 3))
    assert demanded == {Workload(7).task(place): [Workload(7).row(place)] for place in (0, 3)}


def test_tasks_that_were_never_offered_are_told_where_later_ones_were() -> None:
    assert unoffered(history()) == unoffered(history(0, 1, 2)) == unoffered(History()) == []
    task = Workload(7).task
    assert unoffered(history(0, 1, 3)) == [
        f"1 task never offered, though later ones of the workload were: {task(2)}"
    ]
    assert unoffered(history(0, 10_000_000)) == [
        "9,999,999 tasks never offered, though later ones of the workload were: "
        f"{task(1)}, {task(2)}, {task(3)} and 9,999,996 more"
    ]


def test_rows_of_the_golden_ledger_are_what_one_computes_from_the_files_by_hand() -> None:
    """Arbitrage takes four closes. One is of WTI from 81.57 to 81.43 and the S&P 500 from 1053.89 to 1058.45.

    100 * (1058.45 / 1053.89 - 81.43 / 81.57) = 0.604; 37 * 0.604 / 0.141 / 2 = 79.29.
    100 * (5056.44 / 5139.94 - 2083.56 / 2099.84) = -0.849; 13 * 0.849 / 0.737 / 2 = 7.49.
    100 * (1357.99 / 1354.58 - 16.65 / 16.66) = 0.312, which is less than 0.730.
    """
    assert ("a0057-wti-1-0", "a0057", "wti", 1, "buy", 79, 81.43) in golden()
    assert ("a0317-sp500-1-0", "a0317", "sp500", 1, "sell", 7, 2083.56) in golden()
    assert ("a0338-wti-1-0", "a0338", "wti", 1, "none", 0, 16.65) in golden()
    wti, sp500 = [close / 100 for close in closes("wti")], [close / 100 for close in closes("sp500")]
    assert (81.57, 81.43) in itertools.pairwise(wti)
    assert (1053.89, 1058.45) in itertools.pairwise(sp500)
