"""L1 to L3: after faults were healed, what was open ended in time, and the swarm worked as before. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from squall.chaos.evidence.facts import Injected, Phase
from squall.chaos.evidence.model import History
from squall.chaos.evidence.plural import plural
from squall.chaos.judge.case import Case
from squall.chaos.judge.decide import Finding, decide, some, unexercised, unknown
from squall.chaos.judge.episodes import Episode, ended, episodes, over_s
from squall.chaos.judge.promise import Promise, an_experiment
from squall.chaos.plan.bounds import causes_of, recovery_bound_s
from squall.chaos.plan.poison import is_poisoned
from squall.services.patterns import pattern_of
from squall.services.run.spec import Spec

LATENCY_FACTOR = 3.0
LATENCY_MORE_S = 0.05
"""What the median latency may be in the calm after the last heal: so many times that of the steady state, and
so much more. Higher passes a swarm that was left slow; lower fails one for what the machine did meanwhile."""

SHARE_MIN = 0.8
"""Of the tasks that are due in the calm, how many must have ended by its end."""

ENDING_S = 0.5
"""Tasks that are due in the last of it may still be on their way."""


def healed(history: History) -> Phase | None:
    """When no fault was in force any more, and what was asked from then on; None outside an experiment."""
    return _phase(history, "healed")


def _phase(history: History, what: str) -> Phase | None:
    return next((phase for phase in history.phases if phase.what == what), None)


def recovery(case: Case) -> Finding:
    """L1: drained within the bound, which counts from when the load ended, or from the last heal if later."""
    history = case.history
    after = healed(history)
    if after is None:
        return unknown("nothing was healed")
    if not history.faults:
        return unexercised(case, "no fault was injected, so there was nothing to recover from")
    calm = _phase(history, "calm")
    begun_s, since = (after.time_s, "the last heal") if calm is None else (calm.time_s, "the load ended")
    unseen = [
        f"{fault.kind} of {fault.target} was planned and missed"
        for fault in history.missed
        if not fault.spared
    ]
    late = []
    struck_s = min(fault.start_s for fault in history.faults)
    if not any(
        offer.outcome == "accepted" and struck_s <= (offer.intended_s or 0.0) <= after.time_s
        for offer in history.submissions.values()
    ):
        unseen.append("nothing was accepted from the first fault to the last heal")
    # While the load went on in between, what was due at the last heal has to have ended in that time as well.
    for last in episodes(history, case.tally)[-1:]:
        if calm is not None and last.took_s > after.bound_s:
            said = f"what was due at the last heal ended {last.took_s:.2f} s after it"
            late.append(f"{said}, the bound is {after.bound_s:.2f} s")
    took = ""
    if history.closing is None or history.read_back_s is None:
        unseen.append("it is not known when it had drained")
    else:
        took_s = history.read_back_s - begun_s
        took = f"{took_s:.2f} s after {since}, with {plural(after.backlog, 'task')} open at the last heal"
        if not history.closing.drained or took_s > after.bound_s:
            late.append(f"what was accepted had not ended {took}, the bound is {after.bound_s:.2f} s")
    passed = f"Everything accepted had ended {took}; the bound was {after.bound_s:.2f} s."
    return decide(case, late=late, unseen=unseen, passed=passed)


@dataclass(frozen=True, slots=True)
class _Bounds:
    """How long the episodes of a run may take: by whom their faults struck."""

    roles: dict[str, str]
    leading: str
    lease_s: float
    ack_wait_s: float
    rate_per_s: float
    shut_s: float

    def of(self, recovered: Episode) -> float:
        healed = [
            (
                causes_of(fault.kind, self.roles.get(fault.node or "", fault.node or ""), self.leading),
                max(0.0, recovered.healed_s - over_s(fault)),
            )
            for fault in recovered.faults
        ]
        return recovery_bound_s(
            healed,
            lease_s=self.lease_s,
            ack_wait_s=self.ack_wait_s,
            backlog_s=recovered.open / self.rate_per_s,
            shut_s=self.shut_s,
        )


def _bounds(history: History) -> _Bounds | None:
    """None if its spec does not say what the bounds are computed from."""
    asked, rate = history.asked, history.spec.get("rate_per_s")
    if asked.lease_s is None or asked.ack_wait_s is None or not isinstance(rate, int | float) or rate <= 0:
        return None
    pattern = pattern_of(asked.pattern or "")
    return _Bounds(
        roles={start.node: start.role for start in history.nodes},
        leading=pattern.leader,
        lease_s=asked.lease_s,
        ack_wait_s=asked.ack_wait_s,
        rate_per_s=rate,
        shut_s=_shut_s(history, pattern.spec),
    )


def _shut_s(history: History, kind: type[Spec]) -> float:
    try:
        return msgspec.convert(dict(history.spec), kind).shut_s
    except msgspec.ValidationError:  # of an older directory, whose spec had other fields
        return 0.0


def each_recovery(case: Case) -> Finding:
    """L2: whenever all faults were healed, what was due by then ended within the bound of what was struck."""
    history = case.history
    bounds = _bounds(history)
    if bounds is None:
        return unknown("the spec does not say from what the bounds are computed")
    found = episodes(history, case.tally)
    if not found:
        return unexercised(case, "nothing was struck and healed")
    late = [
        f"what was due when {_said(each.faults)} had been healed ended {each.took_s:.2f} s later, the bound "
        f"is {bounds.of(each):.2f} s"
        for each in found
        if each.took_s > bounds.of(each)
    ]
    if late and case.busy:
        return unknown(case.busy, *late)
    nearest = max(found, key=lambda each: each.took_s / bounds.of(each))
    return decide(
        case,
        inferred=late,  # a heal that no line tells of would make it late
        passed=f"{plural(len(found), 'time')} all was healed; the recovery nearest to its bound of "
        f"{bounds.of(nearest):.2f} s took {nearest.took_s:.2f} s, after {_said(nearest.faults)}.",
    )


def _said(faults: Sequence[Injected]) -> str:
    return some(f"{fault.kind} of {fault.node or fault.target}" for fault in reversed(faults))


def is_ordinary(history: History) -> bool:
    """Whether the tasks of an experiment take no time of their own: its handler is the pattern's."""
    if not an_experiment(history) or history.asked.pattern is None:
        return False
    pattern = pattern_of(history.asked.pattern)
    return history.asked.handler == pattern.spec(pattern=pattern.name).handler


def load_went_on(history: History) -> bool:
    """Whether there were faults, and the load did not end before all was healed, as some are meant to.

    Where tasks kill agents, something is amiss all the time.
    """
    after = healed(history)
    struck = an_experiment(history) and history.faults and not is_poisoned(history.asked.handler)
    return bool(struck) and (
        after is None
        or any((offer.intended_s or 0.0) > after.time_s for offer in history.submissions.values())
    )


def as_before(case: Case) -> Finding:
    """L3: in the calm after the last heal, latency and throughput are what they were in the steady state."""
    history = case.history
    steady, calm = _phase(history, "steady"), _phase(history, "calm")
    if steady is None or calm is None:
        return unexercised(case, "there was no calm after everything was healed")
    before, after = _work(case, steady, 0.0), _work(case, calm, ENDING_S)
    if before.median_s is None or after.median_s is None:
        return unknown("nothing ended in the steady state or in the calm")
    bound_s = LATENCY_FACTOR * before.median_s + LATENCY_MORE_S
    said = (
        f"{after.share:.0%} of {plural(after.due, 'task')} that were due had ended, in the middle after "
        f"{after.median_s * 1e3:.0f} ms, before the faults after {before.median_s * 1e3:.0f} ms"
    )
    worse = []
    if after.share < SHARE_MIN:
        worse.append(f"after the last heal only {said}; the bound is {SHARE_MIN:.0%}")
    elif after.median_s > bound_s:
        worse.append(f"after the last heal {said}; the bound is {bound_s * 1e3:.0f} ms")
    if worse and (case.busy or calm.idle is None):
        return unknown(case.busy or "it is not known how busy the machine was", *worse)
    return decide(case, inferred=worse, passed=f"In the calm after the last heal {said}.")


@dataclass(frozen=True, slots=True)
class _Work:
    """What was done of the tasks that were due in a phase.

    Attributes:
        due: How many there were.
        share: How many of these ended within it.
        median_s: How long they took in the middle; None if none ended at all.
    """

    due: int
    share: float
    median_s: float | None


def _work(case: Case, phase: Phase, ending_s: float) -> _Work:
    begun_s, until_s = phase.time_s - phase.seconds, phase.time_s - ending_s
    took_s, within, due = [], 0, 0
    for task, offer in case.history.submissions.items():
        if offer.intended_s is None or not begun_s <= offer.intended_s < until_s:
            continue
        due += 1
        ended_s = ended(case.history, case.tally, task)
        if ended_s is not None:
            took_s.append(ended_s - offer.intended_s)
            within += ended_s <= phase.time_s
    return _Work(due, within / due if due else 0.0, statistics.median(took_s) if took_s else None)


RECOVERY = Promise(
    id="L1",
    name="recovery",
    text="After the last heal everything ends within a bound computed from the timers.",
    check=recovery,
    when=an_experiment,
    sometimes=True,
)

EACH_RECOVERY = Promise(
    id="L2",
    name="each-recovery",
    text="Whenever all faults are healed, what was due by then ends within the bound of what was struck.",
    check=each_recovery,
    when=is_ordinary,
    sometimes=True,
)

AS_BEFORE = Promise(
    id="L3",
    name="as-before",
    text="After the last heal latency and throughput are back where they were in the steady state.",
    check=as_before,
    when=load_went_on,
    sometimes=True,
)
