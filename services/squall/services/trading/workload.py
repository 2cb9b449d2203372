"""The default workload: many accounts, each with its own symbol, strategy and settings, replay the bars.

``independent``: quantities do not depend on earlier orders, so any order of
execution gives the same ledger.

``sequenced``: an order brings the account to a position, and follows the one before it of its key. What is
traded depends on all before it, so only the right order of execution gives the right ledger.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator

import msgspec

from squall.services.trading.market import SYMBOLS, bars
from squall.services.trading.strategies import SIGNALS, Strategy, TradingTask

ACCOUNTS = 500

_OTHER = {"sp500": "nasdaq", "nasdaq": "sp500", "wti": "sp500"}
_THRESHOLDS: dict[Strategy, tuple[float, float]] = {
    "momentum": (0.5, 3.0),
    "mean-reversion": (0.5, 1.8),
    "pairs": (0.5, 1.8),
    "arbitrage": (0.1, 0.8),
}


class Submission(msgspec.Struct, frozen=True):
    """One task as a producer submits it.

    Attributes:
        key: ``<account>-<symbol>``.
        job: The strategy's name.
        number: Its place within its key, from 1 without gaps.
        body: A `TradingTask` as msgpack, or whatever its user's handler reads.
        task: The name of its task, where that is not made of key and number; see `name`.
        named: Its key as its user calls it, where that can be no name.
        deadline_s: In seconds since the epoch; 0 is as long after it is due as its swarm says.
    """

    key: str
    job: str
    number: int
    body: bytes
    task: str = ""
    named: str = ""
    deadline_s: float = 0.0

    @property
    def name(self) -> str:
        """What its task is called."""
        return self.task or f"{self.key}-{self.number}"


class _Account:
    """One account's settings, all of them drawn from the seed and its number."""

    def __init__(self, seed: int, number: int) -> None:
        draw = random.Random(f"{seed}/account/{number}")
        self.name = f"a{number:04d}"
        self.symbol = draw.choice(SYMBOLS)
        self.strategy: Strategy = draw.choice(tuple(SIGNALS))
        self.lookback = draw.randint(10, 20)
        self.threshold = round(draw.uniform(*_THRESHOLDS[self.strategy]), 3)
        self.risk = draw.randint(1, 50)
        self.offset = draw.randrange(len(bars(self.symbol)))

    def task(self, n: int, *, follows: bool) -> TradingTask:
        own = bars(self.symbol)
        last = self._day(self.offset + n, len(own))
        window = own[last - self.lookback + 1 : last + 1]
        other: tuple[float, ...] = ()
        if self.strategy in ("pairs", "arbitrage"):
            closes = bars(_OTHER[self.symbol])
            end = self._day(self.offset + n, len(closes))
            other = tuple(bar.close for bar in closes[end - self.lookback + 1 : end + 1])
        return TradingTask(
            account=self.name,
            symbol=self.symbol,
            n=n,
            strategy=self.strategy,
            window=window,
            other=other,
            threshold=self.threshold,
            risk=self.risk,
            after=n - 1 if follows else msgspec.UNSET,
        )

    def _day(self, day: int, days: int) -> int:
        """A day that has a whole window before it; past the end the replay begins again."""
        return self.lookback - 1 + day % (days - self.lookback + 1)


def independent(seed: int, tasks: int, *, accounts: int = ACCOUNTS) -> Iterator[Submission]:
    """The tasks of a run, one at a time; the same seed gives the same bytes everywhere.

    Args:
        seed: Where the accounts' settings come from.
        tasks: How many; the accounts take turns, each in an order of its own drawn from the seed.
        accounts: How many keys there are.
    """
    return _replayed(seed, tasks, accounts, follows=False)


def sequenced(seed: int, tasks: int, *, accounts: int) -> Iterator[Submission]:
    """The tasks of a run where the order of each follows that of the one before it of its key.

    Args:
        seed, tasks, accounts: See `independent`.
    """
    return _replayed(seed, tasks, accounts, follows=True)


def _replayed(seed: int, tasks: int, accounts: int, *, follows: bool) -> Iterator[Submission]:
    encode = msgspec.msgpack.Encoder().encode
    turn = [*range(1, accounts + 1)]
    random.Random(f"{seed}/turns").shuffle(turn)
    drawn: dict[int, _Account] = {}
    made = 0
    for n in itertools.count(1):
        for number in turn:
            if made == tasks:
                return
            made += 1
            account = drawn.get(number) or drawn.setdefault(number, _Account(seed, number))
            body = encode(account.task(n, follows=follows))
            yield Submission(f"{account.name}-{account.symbol}", account.strategy, n, body)
