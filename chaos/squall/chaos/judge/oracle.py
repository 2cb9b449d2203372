"""The orders that the ordinary workload demands, worked out from market data and from rules in words. Pure.

    seed ─► accounts and their turns ─┐
    closes of the shipped files ──────┴─► task by task: side, units, price

What is judged by it is worked out elsewhere: the inputs by the producer's workload, the orders by the
strategies. It shares no code with them, reads the files by itself, and computes in whole numbers, where they
have floating point. So a mistake of theirs is not made here as well.

The accounts take turns, in an order that is drawn from the seed; each turn is one task of each account. An
account's settings are drawn from the seed and its number. Its n-th task looks back from the day that lies n
days behind its first one, and begins anew where the data ends. What it holds against each other are closes:

    momentum         the gain over its days, in standard deviations of their daily gains
    mean-reversion   how far the last lies below their mean, in their standard deviations
    pairs            the same of their ratios to another symbol's
    arbitrage        the other symbol's gain of the last day, less its own, in per cent

A signal below the account's threshold orders nothing. Else its units at risk are taken half as often as the
signal is of the threshold's size, rounded down, and four times at most: bought for a positive signal, sold
for a negative one, at the last close.

Where orders follow each other, that is what the account is to hold of the symbol after the order, of which it
trades what it lacks after the one before it.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from math import isqrt
from typing import NamedTuple

from squall.chaos.evidence.closes import closes
from squall.services.trading.orders import Row

ACCOUNTS = 500

SYMBOLS = ("sp500", "nasdaq", "wti")
OTHERS = {"sp500": "nasdaq", "nasdaq": "sp500", "wti": "sp500"}
"""What a symbol is held against."""

FINE = 10**30
"""Into how many parts a ratio is divided: far finer than what floating point keeps of it."""


class Signal(NamedTuple):
    """How strong it is: ``above`` divided by the square root of ``below``; nothing where ``below`` is 0."""

    above: int
    below: int


def _spread(values: Sequence[int]) -> int:
    """The variance, times the square of how many there are."""
    return len(values) * sum(value * value for value in values) - sum(values) ** 2


def _below_the_mean(values: Sequence[int]) -> Signal:
    """How far the last lies below the mean, in standard deviations."""
    return Signal(sum(values) - len(values) * values[-1], _spread(values))


def momentum(own: Sequence[int], other: Sequence[int]) -> Signal:
    gains = [FINE * after // before for before, after in pairwise(own)]
    return Signal(len(gains) * (FINE * own[-1] // own[0] - FINE), _spread(gains))


def mean_reversion(own: Sequence[int], other: Sequence[int]) -> Signal:
    return _below_the_mean(own)


def pairs(own: Sequence[int], other: Sequence[int]) -> Signal:
    return _below_the_mean([FINE * mine // theirs for mine, theirs in zip(own, other, strict=True)])


def arbitrage(own: Sequence[int], other: Sequence[int]) -> Signal:
    mine, theirs = FINE * own[-1] // own[-2], FINE * other[-1] // other[-2]
    return Signal(100 * (theirs - mine), FINE**2)


STRATEGIES: Mapping[str, Callable[[Sequence[int], Sequence[int]], Signal]] = {
    "momentum": momentum,
    "mean-reversion": mean_reversion,
    "pairs": pairs,
    "arbitrage": arbitrage,
}
"""From the closes of an account's own days, and as many of the other symbol's, to a signal."""

THRESHOLDS = {
    "momentum": (0.5, 3.0),
    "mean-reversion": (0.5, 1.8),
    "pairs": (0.5, 1.8),
    "arbitrage": (0.1, 0.8),
}


def units(signal: Signal, threshold: int, risk: int) -> int:
    """How many units a signal is worth.

    Args:
        threshold: In thousandths.
    """
    above, below = (1000 * signal.above) ** 2, threshold**2 * signal.below
    if below == 0 or above < below:
        return 0
    return min(4 * risk, isqrt(risk**2 * above // (4 * below)))


def _name(account: int) -> str:
    """The name of an account."""
    return f"a{account:04d}"


class Account:
    """An account of a seed.

    Attributes:
        key: What its tasks belong to.
    """

    def __init__(self, seed: int, number: int) -> None:
        drawn = random.Random(f"{seed}/account/{number}")
        self.name = _name(number)
        self.symbol = drawn.choice(SYMBOLS)
        self.strategy = drawn.choice(list(STRATEGIES))
        self.days = drawn.randint(10, 20)
        self.threshold = round(1000 * round(drawn.uniform(*THRESHOLDS[self.strategy]), 3))
        self.risk = drawn.randint(1, 50)
        self.first_day = drawn.randrange(len(closes(self.symbol)))
        self.key = f"{self.name}-{self.symbol}"

    def row(self, n: int) -> Row:
        """The order of its n-th task, as a row of the ledger."""
        own = self._window(self.symbol, n)
        signal = STRATEGIES[self.strategy](own, self._window(OTHERS[self.symbol], n))
        quantity = units(signal, self.threshold, self.risk)
        side = ("buy" if signal.above > 0 else "sell") if quantity else "none"
        return (f"{self.key}-{n}-0", self.name, self.symbol, n, side, quantity, own[-1] / 100)

    def _window(self, symbol: str, n: int) -> Sequence[int]:
        every = closes(symbol)
        begin = (self.first_day + n) % (len(every) - self.days + 1)
        return every[begin : begin + self.days]


class Workload:
    """The tasks of a seed, each of which has a place, from 0."""

    def __init__(self, seed: int, *, accounts: int = ACCOUNTS) -> None:
        self._seed = seed
        self._turn = [*range(1, accounts + 1)]
        random.Random(f"{seed}/turns").shuffle(self._turn)
        self._places = {_name(number): place for place, number in enumerate(self._turn)}
        self._drawn: dict[int, Account] = {}

    def _account(self, place: int) -> Account:
        """The account whose turn is at a place; drawn when it is first asked for."""
        number = self._turn[place]
        if number not in self._drawn:
            self._drawn[number] = Account(self._seed, number)
        return self._drawn[number]

    def task(self, place: int) -> str:
        """The name of the task at a place."""
        turn, account = divmod(place, len(self._turn))
        return f"{self._account(account).key}-{turn + 1}"

    def place(self, task: str) -> int | None:
        """The place of a task; None if the workload has none of that name."""
        key, _, number = task.rpartition("-")
        account = self._places.get(key.partition("-")[0])
        if account is None or not number.isdecimal():
            return None
        place = (int(number) - 1) * len(self._turn) + account
        return place if place >= 0 and self.task(place) == task else None

    def row(self, place: int) -> Row:
        """The one order of the task at a place, as a row of the ledger."""
        turn, account = divmod(place, len(self._turn))
        return self._account(account).row(turn + 1)


def following(rows: Iterable[Row]) -> Iterator[Row]:
    """The rows of one account's orders that follow each other.

    Args:
        rows: What each would be if it followed none, in their order; without those that are never placed.
    """
    held = 0
    for order_id, account, symbol, n, side, quantity, price in rows:
        wanted = -quantity if side == "sell" else quantity
        lacks, held = wanted - held, wanted
        trades = "none" if not lacks else "buy" if lacks > 0 else "sell"
        yield (order_id, account, symbol, n, trades, abs(lacks), price)


@functools.lru_cache(maxsize=1)
def workload_of(seed: int, accounts: int = ACCOUNTS) -> Workload:
    """The workload of a seed, of which several checks of one run ask."""
    return Workload(seed, accounts=accounts)


def ledger(seed: int, tasks: int) -> list[Row]:
    """The ledger of so many first tasks of a seed, sorted by order id."""
    workload = workload_of(seed)
    return sorted(workload.row(place) for place in range(tasks))
