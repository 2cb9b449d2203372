"""Strategies: a window of bars and an account's settings in, a signal out, and the signal as one order.

All of it is pure, so that any attempt on any machine comes to the same order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from squall.services.handlers import Task
from squall.services.trading.market import Bar
from squall.services.trading.orders import Order, following

Strategy = Literal["momentum", "mean-reversion", "pairs", "arbitrage"]


class TradingTask(msgspec.Struct, frozen=True, kw_only=True):
    """The whole input of one decision.

    Attributes:
        account, symbol, n: Whose, of what, and the how-manieth.
        strategy: Which rule decides.
        window: Bars up to and including the day of the decision, oldest first.
        other: Closes of a second symbol over the same number of days, for the strategies that compare.
        threshold: How strong a signal must be to act on, in the strategy's own unit.
        risk: Units at a signal of twice the threshold; the most is four times that.
        after: The n whose order this one's follows; unset if it follows none.
    """

    account: str
    symbol: str
    n: int
    strategy: Strategy
    window: tuple[Bar, ...]
    other: tuple[float, ...] = ()
    threshold: float
    risk: int
    after: int | msgspec.UnsetType = msgspec.UNSET


def _mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    mean = math.fsum(values) / len(values)
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))


def momentum(task: TradingTask) -> float:
    """The return over the window, in standard deviations of its daily returns.

    Source: time-series momentum (Moskowitz, Ooi, Pedersen, 2012), without the scaling by volatility target.
    """
    closes = [bar.close for bar in task.window]
    returns = [after / before - 1.0 for before, after in itertools.pairwise(closes)]
    _, deviation = _mean_and_deviation(returns)
    return 0.0 if deviation == 0.0 else (closes[-1] / closes[0] - 1.0) / deviation


def mean_reversion(task: TradingTask) -> float:
    """How far the last close lies below the window's mean, in standard deviations.

    Source: Bollinger bands (Bollinger, 2001), the distance itself instead of a crossing.
    """
    closes = [bar.close for bar in task.window]
    mean, deviation = _mean_and_deviation(closes)
    return 0.0 if deviation == 0.0 else (mean - closes[-1]) / deviation


def pairs(task: TradingTask) -> float:
    """How far the ratio to the other symbol lies below its mean, in standard deviations.

    Source: pairs trading (Gatev, Goetzmann, Rouwenhorst, 2006), with the ratio instead of a fitted spread.
    """
    ratios = [bar.close / other for bar, other in zip(task.window, task.other, strict=True)]
    mean, deviation = _mean_and_deviation(ratios)
    return 0.0 if deviation == 0.0 else (mean - ratios[-1]) / deviation


def arbitrage(task: TradingTask) -> float:
    """The other symbol's last daily return less our own, in per cent: the laggard is expected to follow."""
    ours = task.window[-1].close / task.window[-2].close - 1.0
    theirs = task.other[-1] / task.other[-2] - 1.0
    return 100.0 * (theirs - ours)


SIGNALS: dict[Strategy, Callable[[TradingTask], float]] = {
    "momentum": momentum,
    "mean-reversion": mean_reversion,
    "pairs": pairs,
    "arbitrage": arbitrage,
}


def order(task: TradingTask) -> Order:
    """The one order of a task: nothing below the threshold, then in proportion to the signal, up to a cap."""
    signal = SIGNALS[task.strategy](task)
    strength = abs(signal) / task.threshold
    quantity = 0 if strength < 1.0 else min(4 * task.risk, math.floor(task.risk * strength / 2))
    made = Order(
        account=task.account,
        symbol=task.symbol,
        n=task.n,
        side="none" if quantity == 0 else ("buy" if signal > 0 else "sell"),
        quantity=quantity,
        price=task.window[-1].close,
    )
    return following(made, task.after)


_tasks = msgspec.msgpack.Decoder(TradingTask)


async def decide(task: Task) -> Order:
    """The default handler. Async although it awaits nothing: it takes less time than a thread's hand-over."""
    return order(_tasks.decode(task.body))
