"""The replay of a hub's log: the same requests in the same order give the same decisions and one ledger."""

from __future__ import annotations

import msgspec

from squall.services.trading.replay import Requested, decisions, ledger


def order(side: str, quantity: int) -> bytes:
    fields = {"account": "a", "symbol": "wti", "n": 3, "side": side, "quantity": quantity, "price": 2.5}
    return msgspec.json.encode(fields)


REQUESTS = [
    Requested(4, "t1", True, (order("buy", 8),)),
    Requested(5, "t2", True, (order("buy", 8), b"no order")),
    Requested(9, "t3", False),
    Requested(11, "t4", True, (order("sell", 30),), reduce_only=True),
]


def test_each_request_is_decided_on_what_those_before_it_left() -> None:
    made = list(decisions(REQUESTS, bound=10))
    assert [(at.request, at.task, at.ok, at.reduces) for at in made] == [
        (4, "t1", True, False),
        (5, "t2", True, False),
        (9, "t3", False, True),
        (11, "t4", True, True),
    ]
    assert [at.positions for at in made] == [{"wti": 8}, {"wti": 10}, {"wti": 10}, {}]


def test_the_ledger_holds_the_orders_that_were_allowed() -> None:
    assert ledger(decisions(REQUESTS, bound=10)) == [
        ("t1-0", "a", "wti", 3, "buy", 8, 2.5),
        ("t2-0", "a", "wti", 3, "buy", 2, 2.5),
        ("t4-0", "a", "wti", 3, "sell", 10, 2.5),
    ]


def test_another_order_of_the_log_is_another_ledger() -> None:
    there, back = decisions(REQUESTS, bound=10), decisions(reversed(REQUESTS), bound=10)
    assert ledger(there) != ledger(back)
