"""The workload is the same everywhere, and every task makes one order."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter, defaultdict

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.bus.border import check_name
from squall.services.trading.market import SYMBOLS, Bar, bars, vix
from squall.services.trading.strategies import SIGNALS, Strategy, TradingTask, order
from squall.services.trading.workload import independent

PRICES = st.floats(min_value=1.0, max_value=10_000.0)


def test_the_bars_are_the_real_ones() -> None:
    assert bars("sp500")[0] == Bar("1/4/1999", 1229.23, 1248.81, 1219.1, 1228.1)
    assert [len(bars(symbol)) for symbol in SYMBOLS] == [5031, 5031, 8321]
    assert max(level for _, level in vix()) == 40.74


def test_the_same_seed_gives_the_same_bytes_in_any_process() -> None:
    code = (
        "import hashlib; from squall.services.trading.workload import independent;"
        "print(hashlib.sha256(b''.join(s.body for s in independent(7, 2000))).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
        ).stdout.strip()
        for seed in (1, 2)
    }
    here = hashlib.sha256(b"".join(s.body for s in independent(7, 2000))).hexdigest()
    assert digests == {here}
    assert here != hashlib.sha256(b"".join(s.body for s in independent(8, 2000))).hexdigest()


def test_keys_are_many_and_numbered_without_gaps() -> None:
    numbers: dict[str, list[int]] = defaultdict(list)
    for submission in independent(7, 1700):
        numbers[submission.key].append(submission.number)
        check_name(submission.key)
        check_name(submission.job)
        assert len(submission.body) < 1500
    assert len(numbers) == 500
    assert all(found == list(range(1, len(found) + 1)) for found in numbers.values())


def test_the_replay_goes_on_past_the_end_of_the_data() -> None:
    assert sum(1 for _ in independent(7, 30_000, accounts=2)) == 30_000


def test_every_strategy_buys_sells_and_stands_aside() -> None:
    sides: dict[str, Counter[str]] = defaultdict(Counter)
    decode = msgspec.msgpack.Decoder(TradingTask).decode
    for submission in independent(7, 5000):
        made = order(decode(submission.body))
        assert (made.side == "none") == (made.quantity == 0)
        sides[submission.job][made.side] += 1
    assert set(sides) == set(SIGNALS)
    assert all(set(seen) == {"buy", "sell", "none"} for seen in sides.values())


@pytest.mark.parametrize("strategy", SIGNALS)
@given(data=st.data())
def test_an_order_never_passes_its_account_s_cap(strategy: Strategy, data: st.DataObject) -> None:
    days = data.draw(st.integers(3, 20))
    closes = data.draw(st.lists(PRICES, min_size=days, max_size=days))
    other = data.draw(st.lists(PRICES, min_size=days, max_size=days))
    risk = data.draw(st.integers(1, 50))
    task = TradingTask(
        account="a",
        symbol="s",
        n=1,
        strategy=strategy,
        window=tuple(Bar("", close, close, close, close) for close in closes),
        other=tuple(other),
        threshold=data.draw(st.floats(0.1, 3.0)),
        risk=risk,
    )
    made = order(task)
    assert 0 <= made.quantity <= 4 * risk
    assert made == order(task)
    assert made.price == closes[-1]
