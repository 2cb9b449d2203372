"""The default workload in stages: what one handler does elsewhere, cut into four functions.

    ingest ──window, checked──► signal ──how strong──► risk ──side and units──► order ──► one effect

Each takes what the one before it returned as its value. All of it is pure, and comes to the same order as the
default handler does in one go.
"""

from __future__ import annotations

import math

import msgspec

from squall.services.handlers import Result, Task
from squall.services.trading.orders import Order, Side, following
from squall.services.trading.strategies import SIGNALS, TradingTask

STAGES = tuple(f"{__name__}:{stage}" for stage in ("ingest", "signal", "risk", "order"))
"""The handlers of the four stages, by name."""

PASS_ON = f"{__name__}:pass_on"


class Signalled(msgspec.Struct, frozen=True, kw_only=True):
    """What a strategy says of one task.

    Attributes:
        account, symbol, n, after: As in `TradingTask`.
        price: The last close.
        signal: In the strategy's own unit.
        threshold, risk: The account's settings.
    """

    account: str
    symbol: str
    n: int
    price: float
    signal: float
    threshold: float
    risk: int
    after: int | msgspec.UnsetType = msgspec.UNSET


class Sized(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be bought or sold."""

    account: str
    symbol: str
    n: int
    price: float
    side: Side
    quantity: int
    after: int | msgspec.UnsetType = msgspec.UNSET


_encode = msgspec.msgpack.Encoder().encode
_tasks = msgspec.msgpack.Decoder(TradingTask)
_signalled = msgspec.msgpack.Decoder(Signalled)
_sized = msgspec.msgpack.Decoder(Sized)


async def pass_on(task: Task) -> Result:
    """Nothing: the next stage is given what this one was given."""
    return Result(value=task.body)


async def ingest(task: Task) -> Result:
    """See that a task can be read; what cannot is refused here and goes no further."""
    return Result(value=_encode(_tasks.decode(task.body)))


async def signal(task: Task) -> Result:
    """Ask the account's strategy."""
    given = _tasks.decode(task.body)
    said = Signalled(
        account=given.account,
        symbol=given.symbol,
        n=given.n,
        price=given.window[-1].close,
        signal=SIGNALS[given.strategy](given),
        threshold=given.threshold,
        risk=given.risk,
        after=given.after,
    )
    return Result(value=_encode(said))


async def risk(task: Task) -> Result:
    """Nothing below the threshold, then in proportion to the signal, up to a cap."""
    said = _signalled.decode(task.body)
    strength = abs(said.signal) / said.threshold
    quantity = 0 if strength < 1.0 else min(4 * said.risk, math.floor(said.risk * strength / 2))
    side: Side = "none" if quantity == 0 else ("buy" if said.signal > 0 else "sell")
    sized = Sized(
        account=said.account,
        symbol=said.symbol,
        n=said.n,
        price=said.price,
        side=side,
        quantity=quantity,
        after=said.after,
    )
    return Result(value=_encode(sized))


async def order(task: Task) -> Result:
    """The one order of a task."""
    sized = _sized.decode(task.body)
    made = Order(
        account=sized.account,
        symbol=sized.symbol,
        n=sized.n,
        side=sized.side,
        quantity=sized.quantity,
        price=sized.price,
    )
    return Result(effects=(following(made, sized.after),))
