"""Known-bad variants of what is done with a handler's work, whatever the pattern; a setting shows each."""

from __future__ import annotations

from squall.chaos.mutants.mutant import LATE, Mutant, twice
from squall.chaos.plan.schedule import Interval
from squall.chaos.plan.series import VARIED

HERE = "squall.chaos.mutants"


def _of_handlers(name: str, what: str, checks: tuple[str, ...], *intervals: Interval) -> Mutant:
    module = f"{HERE}.{name.replace('-', '_')}"
    return Mutant(name, what, checks, intervals, module=module, setting=VARIED)


def handling(*, loss: str, follows: str) -> tuple[Mutant, ...]:
    """The variants.

    Args:
        loss, follows: The pattern's checks that nothing is lost, and that a lost leader is followed.
    """
    return (
        _of_handlers("errors-are-results", "takes what raised for what had nothing to order", ("E1",), *LATE),
        _of_handlers("first-effect-only", "keeps the first effect of several", ("E1",), *LATE),
        _of_handlers("failures-are-acked", "acknowledges a task whose attempt failed", ("U1", loss), *LATE),
        _of_handlers("handles-twice", "calls the handler twice for one attempt", ("E2",), *LATE),
        _of_handlers("forgets-acks", "leaves out one acknowledgement in fifty", ("U2",), *LATE),
        _of_handlers("lets-deliveries-go", "forgets one task in fifty that it is given", ("U2",), *LATE),
        _of_handlers("seldom-says-so", "says every third ack wait that it is at work", ("U2",), *LATE),
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
