"""What a strategy decides, and what the venue takes: one order, which may be to stand aside."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import msgspec

from squall.bus.border import printable

Side = Literal["buy", "sell", "none"]

INTEGER_MAX = 2**63 - 1
"""What a column of the venue's database can hold."""

NAME_LENGTH_MAX = 128
"""Of an account or a symbol, in characters."""

ORDER_BYTES_MAX = 512 * 1024
"""Of one order as JSON, with whatever it says beside its fields. As much as a whole result may have."""


Row = tuple[str, str, str, int, str, int, float]
"""A filled order in the ledger of the venue: order_id, account, symbol, n, side, quantity, price."""


Kind = TypeVar("Kind", bound="Order")


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order for the venue. Its id is made from the task: see `squall.services.handlers.effect_id`.

    Attributes:
        account, symbol: Whose, and of what: printable, 1 to `NAME_LENGTH_MAX` characters.
        n: The number of the task within its key, from 1. The venue takes 0 to `INTEGER_MAX`.
        side: ``none`` with quantity 0: stand aside.
        quantity: Units, 0 to `INTEGER_MAX`.
        price: The last close, in the symbol's own unit; finite.
    """

    account: str
    symbol: str
    n: int
    side: Side
    quantity: int
    price: float


class Following(Order, frozen=True, kw_only=True, omit_defaults=True):
    """An order of a sequenced workload, which may follow the one before it of its account and symbol.

    Attributes:
        after: The n of the order that it follows: the venue refuses it where another one is the last. None:
            it follows none.
        target: Of one that follows another: the units to be held after it, below 0 where they are owed. Its
            side and quantity, none and 0, are worked out by the venue. None: they are as they say.
        passed: Nothing is ordered, as its task is dead; what follows it may go on.
    """

    after: int | None = None
    target: int | None = None
    passed: bool = False


def following(order: Order, after: int | msgspec.UnsetType) -> Order:
    """The order of a task; of one that follows another, to hold what it would have traded."""
    if after is msgspec.UNSET:
        return order
    units = {"buy": order.quantity, "sell": -order.quantity, "none": 0}[order.side]
    return Following(
        account=order.account,
        symbol=order.symbol,
        n=order.n,
        side="none",
        quantity=0,
        price=order.price,
        after=after,
        target=units,
    )


_decoder = msgspec.json.Decoder(Order, strict=True)
_following = msgspec.json.Decoder(Following, strict=True)


def read_order(body: bytes) -> Order | str:
    """The order in a body that anybody may have written, or in a sentence why there is none. Never raises.

    Fields that an order does not have are allowed: a rationale, for instance.
    """
    return _read(body, _decoder)


def read_following(body: bytes) -> Following | str:
    """The same where orders may follow each other."""
    order = _read(body, _following)
    return order if isinstance(order, str) else _why_not_following(order) or order


def _read(body: bytes, decoder: msgspec.json.Decoder[Kind]) -> Kind | str:
    if len(body) > ORDER_BYTES_MAX:
        return f"an order has at most {ORDER_BYTES_MAX:,} bytes, this has {len(body):,}"
    try:
        order = decoder.decode(body)
    except (ValueError, RecursionError):  # msgspec's own errors are ValueErrors
        return _why_none(body)
    if (
        _is_name(order.account)
        and _is_name(order.symbol)
        and 0 <= order.n <= INTEGER_MAX
        and 0 <= order.quantity <= INTEGER_MAX
    ):
        return order
    return _why_none(body)


def _why_not_following(order: Following) -> str:
    """What is wrong with what an order says of the one before it; empty if nothing is."""
    if order.after is None:
        return "" if order.target is None and not order.passed else "a target, or passed, needs after"
    if not 0 <= order.after < order.n:
        return f"after must be a whole number from 0 to below n, which is {order.n}"
    if abs(order.target or 0) > INTEGER_MAX // 2:
        return "target is out of range"
    return ""


def _is_name(value: object) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= NAME_LENGTH_MAX and value.isprintable()


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= INTEGER_MAX


def _is_price(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)  # JSON has finite numbers only


_A_NAME = f"a printable text of 1 to {NAME_LENGTH_MAX} characters"
_A_COUNT = "a whole number from 0 to 2^63 - 1"

_FIELDS: dict[str, tuple[Callable[[object], bool], str]] = {
    "account": (_is_name, _A_NAME),
    "symbol": (_is_name, _A_NAME),
    "n": (_is_count, _A_COUNT),
    "side": (lambda value: value in ("buy", "sell", "none"), "buy, sell or none"),
    "quantity": (_is_count, _A_COUNT),
    "price": (_is_price, "a number"),
}
_NEEDS = "an order needs account, symbol, n, side, quantity and price"


def _why_none(body: bytes) -> str:
    """What is wrong with a body that is no order: the first field that is, and what was expected of it."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError) as error:
        return printable(f"{_NEEDS}; this cannot be read as JSON: {error}")
    if not isinstance(value, dict):
        return f"{_NEEDS}; this is {_described(value)}"
    for field, (is_right, expected) in _FIELDS.items():
        if field not in value:
            return f"{_NEEDS}; {field} is missing{_misspelt(field, value)}"
        if not is_right(value[field]):
            return f"{_NEEDS}; {field} must be {expected}, not {_described(value[field])}"
    return f"{_NEEDS}; a number is out of range"


UNKNOWN_FIELDS_MAX = 50
"""Fields that no order has, among which a misspelt one is looked for."""

LIKE_MIN = 0.5
"""How like two names must be, by difflib's ratio: *qty* is to *quantity*."""


def _misspelt(field: str, value: dict[str, Any]) -> str:
    """Which field of another name is probably the one that is missing, in words; empty if none is."""
    others = (str(name) for name in value if name not in _FIELDS)
    short = [name for name in itertools.islice(others, UNKNOWN_FIELDS_MAX) if len(name) <= 3 * len(field)]
    folded = {name.strip().casefold(): name for name in short}
    near = difflib.get_close_matches(field, folded, 1, LIKE_MIN)
    if not near:
        return ""
    return f", and {printable(folded[near[0]], 40)!r} is none of them; did you mean {field}?"


def _described(value: Any) -> str:
    """A JSON value in a few words; what somebody wrote is shown as far as it is short."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {printable(value, 40)!r}"
        case list():
            return f"a list of {len(value):,}"
        case dict():
            return f"an object with {len(value):,} fields"
        case float():
            return f"the number {value!r}"
    return f"the number {value}" if abs(value) < 10**30 else "a number of more than 30 digits"


def task_id(key: str, number: int) -> str:
    """The id of the ``number``-th task of a key."""
    return f"{key}-{number}"
