"""The figures of the result document, each from a history alone. Pure.

A figure that the evidence does not carry is None: without the closing line
nothing is known about registers, without the database nothing about fills.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from squall.chaos.evidence.model import History
from squall.chaos.judge.case import Case
from squall.chaos.judge.episodes import episodes
from squall.chaos.judge.tally import Tally
from squall.services.run.result import Latency, Recovery

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""


def wilson_interval(successes: int, trials: int, *, z: float = Z_95) -> tuple[float, float]:
    """Where the true share lies, given a share that was seen.

    Raises:
        ValueError: There were no trials, or more successes than trials.

    Source: E. B. Wilson, Probable Inference, the Law of Succession, and Statistical Inference (Journal of
    the American Statistical Association 22, 1927), without continuity correction.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} successes in {trials} trials")
    share = successes / trials
    shrink = 1 + z * z / trials
    center = (share + z * z / (2 * trials)) / shrink
    spread = z / shrink * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    # The bounds of none and of all are exact, which rounding would miss by an ulp.
    low = 0.0 if successes == 0 else center - spread
    high = 1.0 if successes == trials else center + spread
    return low, high


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The nearest rank: the smallest value with at least this share of all at or below it.

    Always a value that was measured, never one interpolated between two.

    Args:
        ordered: At least one value, ascending.
        percent: From 1 to 100.
    """
    return ordered[-(-percent * len(ordered) // 100) - 1]


def latency_ms(history: History, counted: Tally) -> Latency:
    """From intended submission to the last fill of the task, over tasks that were filled whole."""
    values = sorted(value for _, value in latencies_ms(history, counted))
    if not values:
        return Latency()
    p50, p95, p99 = (round(percentile(values, percent), 3) for percent in (50, 95, 99))
    return Latency(p50=p50, p95=p95, p99=p99, max=round(values[-1], 3))


def latencies_ms(history: History, counted: Tally) -> list[tuple[float, float]]:
    """When each task that was filled whole was meant to be submitted, and how long it took from then."""
    if history.venue is None:
        return []
    values = []
    for task, register in counted.registers.items():
        offered = history.submissions.get(task)
        filled_s = _filled_s(history, register.effects) if register.status == "ok" else None
        if filled_s is None or offered is None or offered.intended_s is None:
            continue
        if filled_s >= offered.intended_s or not history.is_outside:  # else it was done in a run before
            values.append((offered.intended_s, (filled_s - offered.intended_s) * 1e3))
    return values


def _filled_s(history: History, effects: Sequence[str]) -> float | None:
    """When the last of these was filled; None if there are none or one never was."""
    fills = history.venue.fills if history.venue is not None else {}
    if not effects or any(order_id not in fills for order_id in effects):
        return None
    return max(fills[order_id][-1] for order_id in effects)


def reliable(history: History, counted: Tally) -> int:
    """Accepted tasks with exactly their effects, each once, before their deadline."""
    fills = history.venue.fills if history.venue is not None else {}
    repeated = set(counted.repeated)
    count = 0
    for task in counted.accepted:
        register = counted.registers.get(task)
        if register is None or register.status != "ok" or task in repeated:
            continue
        if any(len(fills.get(order_id, ())) != 1 for order_id in register.effects):
            continue
        if not _late(history, task, register.effects):
            count += 1
    return count


def _late(history: History, task: str, effects: Sequence[str]) -> bool:
    """Whether a fill came after the task's deadline; never, where it has none."""
    deadline_s, intended_s = history.asked.task_deadline_s, history.submissions[task].intended_s
    filled_s = _filled_s(history, effects)
    if deadline_s is None or intended_s is None or filled_s is None:
        return False
    return filled_s > intended_s + deadline_s


def throughput_per_s(history: History, counted: Tally) -> float | None:
    """Effects over the time from the first intended submission to the last fill of an intent."""
    if history.venue is None:
        return None
    began = [offered.intended_s for offered in history.submissions.values() if offered.intended_s is not None]
    ended = [times[-1] for order_id, times in history.venue.fills.items() if order_id in counted.intents]
    if not began or not ended or max(ended) <= min(began):
        return None
    return round(counted.effects / (max(ended) - min(began)), 3)


def recovery_s(case: Case) -> Recovery:
    """What faults on leaders cost, at the slowest, and how long draining took after the last fault.

    A fail-over whose successor was itself struck says nothing of how long one takes, and neither does one
    after a fault under which a leader may lead on.
    """
    changes = case.succession.takeovers
    asked = [change for change in changes if change.since == "fault" and not change.is_obstructed]
    detect = [t.detect_s for t in asked if t.detect_s is not None]
    failover = [t.failover_s for t in asked if t.failover_s is not None]
    return Recovery(
        detect=round(max(detect), 6) if detect else None,
        failover=round(max(failover), 6) if failover else None,
        drain=_drain_s(case.history, case.tally),
    )


def _drain_s(history: History, counted: Tally) -> float | None:
    """From the last heal, or from the end of the load if that is later, until everything accepted had ended.

    Where the load goes on after the last heal, to be held against the steady state: until what was due by
    then had ended. None too while a fault lasts, and when the bound passed first; 0 if all had ended under
    the fault.
    """
    ends = [fault.end_s for fault in history.faults]
    if not ends or history.read_back_s is None or history.closing is None or not history.closing.drained:
        return None
    last = max((end for end in ends if end is not None), default=None)
    if last is None or None in ends:
        return None
    if any(phase.what == "calm" for phase in history.phases):  # the load went on
        return round(episodes(history, counted)[-1].took_s, 6)
    return round(max(0.0, history.read_back_s - max(last, history.offered_s or last)), 6)
