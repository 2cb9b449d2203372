"""What is a delivery of a consumer, by the one thing of a message that its writer cannot choose."""

from __future__ import annotations

from typing import Any

import pytest
from nats.aio.msg import Msg

from squall.bus.pull import _number, parse_delivery
from squall.bus.subjects import acks

PREFIX = acks("SQUALL_RES", "gateway")
TAIL = "2.7.9.1700000000500000000.3"


def message(reply: str, **facts: Any) -> Msg:
    return Msg(_client=None, subject="sw.squall.res.7.t", reply=reply, data=b"x", **facts)  # type: ignore[arg-type]


def test_a_delivery_is_read_from_where_its_acknowledgement_goes() -> None:
    delivery = parse_delivery(message(PREFIX + TAIL), PREFIX)
    assert delivery is not None
    assert (delivery.attempt, delivery.sequence, delivery.order, delivery.pending) == (2, 7, 9, 3)
    assert (delivery.subject, delivery.data, delivery.stored_s) == (
        "sw.squall.res.7.t",
        b"x",
        1_700_000_000.5,
    )


def test_a_delivery_is_one_whatever_its_headers_say() -> None:
    said = message(PREFIX + TAIL, headers={"Status": "404", "Nats-Pending-Messages": "9"})
    assert parse_delivery(said, PREFIX) is not None


@pytest.mark.parametrize(
    "reply",
    [
        "",
        TAIL,
        acks("SQUALL_RES", "gatewax") + TAIL,  # of the same length
        acks("SQUALL_REX", "gateway") + TAIL,
        "x" * len(PREFIX) + TAIL,
        PREFIX,
        PREFIX + "1.1.1.1",
        PREFIX + "1.1.1.1.1.1",
        PREFIX + "1.1.1.1.x",
        PREFIX + "1.1.1.1.",
    ],
)
def test_what_is_of_another_consumer_is_none_of_this(reply: str) -> None:
    assert parse_delivery(message(reply), PREFIX) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [(None, 0), ("", 0), ("12", 12), ("-1", 0), ("many", 0), ("1" * 19, int("1" * 19)), ("1" * 20, 0)],
)
def test_a_header_that_is_no_number_counts_for_nothing(text: str | None, number: int) -> None:
    assert _number(text) == number
