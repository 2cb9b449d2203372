"""The figures of a result, in groups, each absent one a dash. Pure."""

from __future__ import annotations

from squall.chaos.evidence.model import History
from squall.chaos.judge.checks.recovery import healed
from squall.chaos.plan.bounds import take_over_bound_s
from squall.chaos.tell.page import words
from squall.chaos.tell.page.markup import Markup
from squall.chaos.tell.page.parts import Group, groups, zero
from squall.services.run.result import Result

NO_BREAK = "\N{NO-BREAK SPACE}"


def figures(result: Result, history: History) -> Markup:
    latency, recovery = result.latency_ms, result.recovery_s
    lease_s, after = history.asked.lease_s, healed(history)
    followed = "" if lease_s is None else _bound(take_over_bound_s(lease_s))
    drained = "" if after is None else _bound(after.bound_s)
    interval = result.reliability_interval
    between = (
        "" if interval is None else f"95% interval {words.share(interval[0])} to {words.share(interval[1])}"
    )
    found: list[Group] = [
        (
            "Work",
            [
                ("offered", words.count(result.offered), ""),
                ("accepted", words.count(result.accepted), ""),
                ("effects", words.count(result.effects), ""),
                ("tasks per second", words.per_second(result.throughput_per_s), ""),
            ],
        ),
        (
            "Must be zero",
            [zero(name, value) for name, value in (
                ("lost", result.lost),
                ("duplicated", result.duplicated),
                ("conflicting", result.conflicting),
            )] + [("dead letters", words.count(result.dead_letters), "zero unless there was poison")],
        ),
        (
            "Latency",
            [
                ("p50", words.milliseconds(latency.p50), ""),
                ("p95", words.milliseconds(latency.p95), ""),
                ("p99", words.milliseconds(latency.p99), ""),
                ("max", words.milliseconds(latency.max), ""),
            ],
        ),
        (
            "Service",
            [
                ("availability", words.share(result.availability), "accepted over offered"),
                ("reliability", words.share(result.reliability), between),
                ("suppressed", words.count(result.duplicates_suppressed), "repeats refused"),
                ("refused effects", words.count(result.refused_effects), "with a reason"),
                ("refused writes", words.count(result.refused_writes), "of deposed leaders"),
            ],
        ),
        (
            "Recovery",
            [
                ("take-over", words.seconds(recovery.detect), f"fault to next term{followed}"),
                ("fail-over", words.seconds(recovery.failover), f"{_failed_over(result)}{followed}"),
                ("drain", words.seconds(recovery.drain), f"{_drained(history)}{drained}"),
                ("duration", words.seconds(result.duration_s), "the whole run"),
            ],
        ),
    ]  # fmt: skip
    return groups(found)


def _failed_over(result: Result) -> str:
    """From what to what a fail-over counts, or why there was none to time beside a take-over."""
    if result.recovery_s.failover is None and result.recovery_s.detect is not None:
        return "not timed: nothing was stored after it, or another fault struck meanwhile"
    return "fault to first batch"


def _drained(history: History) -> str:
    """From what to what draining counts, as `squall.chaos.judge.figures` computes it."""
    if any(phase.what == "calm" for phase in history.phases):
        return "last heal to what was due by then ended"
    last = max((fault.end_s for fault in history.faults if fault.end_s is not None), default=0.0)
    return f"{'end of the load' if (history.offered_s or 0.0) > last else 'last heal'} to all ended"


def _bound(seconds: float) -> str:
    return "; " + f"bound {words.seconds(seconds)}".replace(" ", NO_BREAK)
