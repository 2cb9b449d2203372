"""L1: after everything was healed, what had been accepted ended within the bound that was computed. Pure."""

from __future__ import annotations

from squall.chaos.evidence.model import History, Phase
from squall.chaos.judge.case import Case
from squall.chaos.judge.decide import Finding, decide, unknown
from squall.chaos.judge.promise import Promise, an_experiment


def healed(history: History) -> Phase | None:
    """When no fault was in force any more, and what was asked from then on; None outside an experiment."""
    return next((phase for phase in history.phases if phase.what == "healed"), None)


def recovery(case: Case) -> Finding:
    """L1: drained within the bound."""
    history = case.history
    after = healed(history)
    if after is None:
        return unknown("nothing was healed")
    if not history.faults:
        return unknown("no fault was injected, so there was nothing to recover from")
    unseen = [f"{fault.kind} of {fault.target} was planned and missed" for fault in history.missed]
    late = []
    struck_s = min(fault.start_s for fault in history.faults)
    if not any(
        offer.outcome == "accepted" and struck_s <= (offer.intended_s or 0.0) <= after.time_s
        for offer in history.submissions.values()
    ):
        unseen.append("nothing was accepted from the first fault to the last heal")
    took = ""
    if history.closing is None or history.read_back_s is None:
        unseen.append("it is not known when it had drained")
    else:
        took_s = history.read_back_s - after.time_s
        took = f"{took_s:.2f} s after the last heal with {after.backlog:,} tasks open"
        if not history.closing.drained or took_s > after.bound_s:
            late.append(f"what was accepted had not ended {took}, the bound is {after.bound_s:.2f} s")
    passed = f"Everything accepted had ended {took}; the bound was {after.bound_s:.2f} s."
    return decide(case, shown=late, unseen=unseen, passed=passed)


RECOVERY = Promise(
    id="L1",
    name="recovery",
    text="After the last heal everything ends within a bound computed from the timers.",
    check=recovery,
    when=an_experiment,
    sometimes=True,
)
