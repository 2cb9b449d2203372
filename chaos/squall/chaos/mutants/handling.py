"""Known-bad variants of a worker and what it runs, whatever the pattern."""

from __future__ import annotations

from squall.chaos.mutants import price_wrong_in_strategy
from squall.chaos.mutants.mutant import LATE, SLOW_GATEWAY, Mutant, twice
from squall.chaos.plan.schedule import Interval
from squall.chaos.plan.series import VARIED

HERE = "squall.chaos.mutants"

LATER = (Interval(fault="latency", target="gateway", at_s=18.0, for_s=0.5),)
"""After so much load that a leak shows."""


def _of_handlers(name: str, what: str, checks: tuple[str, ...], *intervals: Interval) -> Mutant:
    module = f"{HERE}.{name.replace('-', '_')}"
    return Mutant(name, what, checks, intervals, module=module, setting=VARIED)


def handling(*, loss: str, follows: str) -> tuple[Mutant, ...]:
    """The variants.

    Args:
        loss, follows: The pattern's checks that nothing is lost, and that a lost leader is followed.
    """
    return (
        Mutant(
            "price-wrong-in-strategy",
            "orders for every third account, by turns, at the close of the day before",
            ("E1",),
            SLOW_GATEWAY,
            module=f"{HERE}.price_wrong_in_strategy",
            staged=price_wrong_in_strategy.staged,
        ),
        Mutant(
            "memory-leak",
            "keeps what it was ever given",
            ("U3",),
            LATER,
            module=f"{HERE}.memory_leak",
        ),
        _of_handlers("errors-are-results", "takes what raised for what had nothing to order", ("E1",), *LATE),
        _of_handlers("first-effect-only", "keeps the first effect of several", ("E1",), *LATE),
        _of_handlers("failures-are-acked", "acknowledges a task whose attempt failed", ("U1", loss), *LATE),
        _of_handlers("handles-twice", "calls the handler twice for one attempt", ("E2",), *LATE),
        _of_handlers("forgets-acks", "leaves out one acknowledgement in fifty", ("U2",), *LATE),
        _of_handlers("retries-at-once", "makes a failed attempt again without a pause", ("U2",), *LATE),
        _of_handlers("lets-deliveries-go", "forgets one task in fifty that it is given", ("U2",), *LATE),
        _of_handlers("seldom-says-so", "says every third ack wait that it is at work", ("U2",), *LATE),
        _of_handlers(
            "stops-saying-so",
            "says no more that it is at work, once it could not say it",
            ("U2",),
            *twice("refuse", "all-agents", 1.2),
            *LATE,
        ),
        _of_handlers(
            "acks-as-it-ends",
            "acknowledges what it holds when it is told to stop",
            ("U1", loss),
            *twice("restart", "all-agents"),
        ),
        _of_handlers(
            "keeps-old-credentials",
            "does not move over to fresh credentials",
            ("L1", "U1", follows),
            Interval(fault="latency", target="gateway", at_s=14.0, for_s=0.5),
        ),
    )
