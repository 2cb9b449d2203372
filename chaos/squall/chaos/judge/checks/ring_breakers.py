"""What must hold of a stage's breaker: R3 to R5. Pure.

    attempts at a stage, by their lines ─────────┐
    transitions, by the lines of who made them ──┴─► opened in time? few probes? did the others go on?

That a breaker has opened is told by instances and by the router; what was attempted meanwhile, by others.
So no line is believed alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from squall.bus.topology.ring import stage_of
from squall.chaos.evidence.facts import Count, Injected, Operation
from squall.chaos.evidence.model import History
from squall.chaos.evidence.operations import Operations
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.ring_attempts import STAGE_ATTEMPTS, Attempt, attempts_of
from squall.chaos.judge.decide import Finding, decide, unexercised, unknown
from squall.services.patterns.ring import RingSpec, breaker_settings, instances
from squall.services.rules.breaker import VERBS, Settings, share

ADMITTED_S = 1.0
"""How long after a breaker opened an attempt may begin that was let through before."""

HEARD_S = 2.0
"""Until what instances counted is heard, and what follows from it is known to all of them."""

LONG_S = 3.0
ARRIVALS_MIN = 10
"""How long a breaker has to be open, and how many tasks have to come in meanwhile, to tell of the others."""

ERRORS = "errors"


class Turned(Operation, frozen=True, kw_only=True):
    """A breaker has gone from one state to another.

    Attributes:
        shared: Whether it is the one of all instances of the stage, by the router's word.
        probers: Who shares its probes then, if it is.
        for_s: How long it is open.
    """

    stage: Count
    event: str
    state: str
    opened: Count
    why: str
    for_s: float | None = None
    shared: bool = False
    probers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Told:
    """What a run tells of its breakers.

    Attributes:
        attempts: By stage, in the order of their beginnings.
        turns: By stage, likewise.
    """

    spec: RingSpec
    settings: Settings
    attempts: Mapping[int, Sequence[Attempt]] = field(default_factory=dict)
    turns: Mapping[int, Sequence[Turned]] = field(default_factory=dict)

    @property
    def instances(self) -> int:
        """Of each stage."""
        return self.spec.agents // len(self.spec.stages)

    def share(self, node: str) -> int:
        """How many probes an instance may make before it has decided, at most: who shares them, changes."""
        stage = stage_of(node, len(self.spec.stages))
        said = {turn.probers for turn in self.turns.get(stage, ()) if turn.probers}
        return max(
            share(self.settings.probes, probers, node).probes
            for probers in (*said, instances(self.spec, stage))
        )


def told(history: History) -> Told | None:
    """What a run tells; None if its spec is none of a ring, or had its breakers off."""
    try:
        spec = msgspec.convert(dict(history.spec), RingSpec)
    except msgspec.ValidationError:
        return None
    if spec.breaker != "on":
        return None
    turns: defaultdict[int, list[Turned]] = defaultdict(list)
    for turn in history.of(Turned):
        turns[turn.stage].append(turn)
    return Told(spec, breaker_settings(spec), attempts_of(history, len(spec.stages), spec.attempts), turns)


# R3


@dataclass(frozen=True, slots=True)
class Outage:
    """A time in which all that a stage's attempts depend on failed."""

    stage: int
    begin_s: float
    end_s: float


def outages(history: History, of: Told) -> list[Outage]:
    """Those of the run."""
    groups: defaultdict[str, list[Injected]] = defaultdict(list)
    for fault in history.faults:
        if fault.kind == ERRORS and fault.target.startswith("stage-") and fault.verified:
            groups[fault.id.partition("/")[0]].append(fault)
    found = []
    for group in groups.values():
        stage = int(group[0].target.removeprefix("stage-"))
        begin_s = max(fault.verified_s or fault.start_s for fault in group)
        end_s = min(fault.held_s or fault.end_s or math.inf for fault in group)
        if any(turn.event in VERBS and turn.time_s <= end_s for turn in of.turns.get(stage, ())):
            continue  # an operator had it stand otherwise
        within = [a for a in of.attempts.get(stage, ()) if begin_s <= a.begin_s and a.end_s <= end_s]
        if end_s < math.inf and not any(attempt.ok for attempt in within):
            found.append(Outage(stage, begin_s, end_s))
    return found


def trips_and_heals(case: Case) -> Finding:
    """R3."""
    history = case.history
    of = told(history)
    if of is None:
        return unexercised(case, "its breakers were off")
    failing = outages(history, of)
    shown = [*_false_trips(of)]
    late: list[str] = []
    opened = healed = 0
    for outage in failing:
        turns = of.turns.get(outage.stage, ())
        row = of.settings.failures_in_a_row
        tried = [
            a
            for a in of.attempts.get(outage.stage, ())
            if outage.begin_s <= a.begin_s and a.end_s < outage.end_s
        ]
        bound_s = of.settings.window_s / 2 + 1.0
        failed = [a for a in tried if a.failed and a.end_s <= outage.begin_s + bound_s]
        first_s = next(
            (t.time_s for t in turns if t.state == "open" and t.time_s >= outage.begin_s), math.inf
        )
        # One of its instances has met so many then, one after the other.
        enough = row * of.instances
        if len(failed) >= enough and first_s > outage.begin_s + bound_s:
            late.append(
                f"stage {outage.stage} failed wholly, and no breaker was open {bound_s:.1f} s later, "
                f"after {len(failed)} attempts"
            )
        if first_s < outage.end_s:
            opened += 1
            said = _not_closed(case, of, outage)
            healed += said is None
            late += [said] if said else []
    return decide(
        case,
        shown=shown,
        late=late,
        passed=f"{len(failing)} times a stage failed wholly; {opened} times its breaker opened for it, and "
        f"{healed} times it had closed in time once the stage was well.",
        idle="" if opened else "no stage failed for long enough to open its breaker",
    )


def _false_trips(of: Told) -> Iterator[str]:
    """Breakers that opened though not enough had failed."""
    settings = of.settings
    least = min(settings.failures_in_a_row, math.ceil(settings.failures_share * settings.calls_min))
    for stage, turns in of.turns.items():
        for turn in turns:
            if turn.event != "trip" or "took longer" in turn.why:
                continue
            made = [a for a in of.attempts.get(stage, ()) if turn.shared or a.node == turn.node]
            since_s = turn.time_s - settings.window_s - HEARD_S
            if "one after the other" in turn.why:  # however long that took, if none ended well between them
                ended_well_s = [a.end_s for a in made if a.ok and a.end_s < turn.time_s - HEARD_S]
                since_s = min(since_s, max(ended_well_s, default=0.0))
            failed = sum(a.failed for a in made if since_s <= a.end_s <= turn.time_s + ADMITTED_S)
            if failed < least:
                yield f"a breaker of stage {stage} opened after {failed} failed attempts, not {least}"


def _not_closed(case: Case, of: Told, outage: Outage) -> str | None:
    """Why a stage's breaker did not close in time once all was well; None if it did, or nobody can say."""
    history, turns = case.history, of.turns.get(outage.stage, ())
    opened = max((turn.opened for turn in turns if turn.time_s <= outage.end_s), default=1)
    bound_s = of.settings.longest_s(max(1, opened)) + of.settings.probe_s + HEARD_S + of.spec.retry_cap_s
    until_s = outage.end_s + bound_s
    if any(
        fault.end_s is None or (fault.start_s <= until_s and fault.end_s >= outage.end_s)
        for fault in history.faults
        if fault.kind != ERRORS or fault.start_s > outage.end_s
    ):
        return None  # something else was amiss meanwhile
    if any(attempt.ok and outage.end_s <= attempt.end_s <= until_s for attempt in _made(of, outage.stage)):
        return None
    waited = [attempt for attempt in _made(of, outage.stage) if attempt.end_s > until_s]
    if not waited:
        return None
    return f"stage {outage.stage} was well, and nothing ended well at it for {bound_s:.1f} s"


def _made(of: Told, stage: int) -> Sequence[Attempt]:
    return [attempt for attempt in of.attempts.get(stage, ()) if attempt.made]


# R4


def half_open_discipline(case: Case) -> Finding:
    """R4."""
    of = told(case.history)
    if of is None:
        return unexercised(case, "its breakers were off")
    most, probes, shown, late = 0, 0, list[str](), list[str]()
    for stage in of.turns:
        trials, early = _tried_by_breakers(case.history, of, stage)
        trying = [attempt for trial in trials for attempt in trial]
        more = [trial for trial in trials if trial and len(trial) > of.share(trial[0].node)]
        if more:
            shown.append(
                f"{more[0][0].node} made {len(more[0])} probes of stage {stage} before it decided, and its "
                f"share is {of.share(more[0][0].node)}"
            )
        if early:
            late.append(
                f"{len(early)} attempts began at stage {stage} while the breaker of who made them was open"
            )
        together = _together(trying)
        most, probes = max(most, together), probes + len(trying)
        if together > of.settings.probes:
            shown.append(
                f"{together} probes were under way at stage {stage} at once, and {of.settings.probes} may be"
            )
    return decide(
        case,
        shown=shown,
        late=late,
        passed=f"{probes} probes of half-open breakers, at most {most} of a stage at once over all instances "
        f"({of.settings.probes} may be).",
        idle="" if probes else "no breaker was half-open while there was something to try",
    )


def _tried_by_breakers(history: History, of: Told, stage: int) -> tuple[list[list[Attempt]], list[Attempt]]:
    """Attempts at a stage that began while who made them was half-open, by trial, and while it was open.

    Of a trial only those that said something of what the stage depends on.
    """
    lives: defaultdict[tuple[str, int], list[Turned]] = defaultdict(list)
    for turn in of.turns[stage]:
        if not turn.shared:
            lives[turn.node, turn.incarnation].append(turn)
    trials: list[list[Attempt]] = []
    early: list[Attempt] = []
    for (node, incarnation), turns in lives.items():
        ends_s = min(
            (s.started_s for s in history.nodes if s.node == node and s.incarnation > incarnation),
            default=math.inf,
        )
        for turn, after in zip(turns, [*turns[1:], None], strict=True):
            until_s = after.time_s if after is not None else ends_s
            begun = [
                attempt
                for attempt in _made(of, stage)
                if attempt.node == node and turn.time_s < attempt.begin_s < until_s
            ]
            if turn.state == "half-open":
                trials.append([attempt for attempt in begun if attempt.ok or attempt.failed])
            elif turn.state in ("open", "forced-open"):
                early += [a for a in begun if a.begin_s > turn.time_s + ADMITTED_S]
    return trials, early


def _together(attempts: Sequence[Attempt]) -> int:
    """How many of some attempts were under way at once, at most; one that never ended was for no time."""
    steps = sorted(
        step
        for attempt in attempts
        if attempt.end_s < math.inf
        for step in ((attempt.begin_s, 1), (attempt.end_s, -1))
    )
    now = most = 0
    for _, step in steps:
        now += step
        most = max(most, now)
    return most


# R5


def isolation(case: Case) -> Finding:
    """R5."""
    history = case.history
    of = told(history)
    if of is None:
        return unexercised(case, "its breakers were off")
    went_on, stood = 0, list[str]()
    for stage, turns in of.turns.items():
        for turn in turns:
            if not (turn.shared and turn.state == "open" and stage > 1 and (turn.for_s or 0.0) >= LONG_S):
                continue
            until_s = turn.time_s + (turn.for_s or 0.0)
            if _is_disturbed(history, turn.time_s, until_s) or _others_open(of, stage, turn.time_s, until_s):
                continue
            came_in = sum(
                offer.outcome == "accepted" and turn.time_s <= (offer.intended_s or 0.0) <= until_s - 1.0
                for offer in history.submissions.values()
            )
            if came_in < ARRIVALS_MIN:
                continue
            passed = sum(
                attempt.ok and turn.time_s <= attempt.end_s <= until_s
                for attempt in of.attempts.get(stage - 1, ())
            )
            if passed < came_in / 2:
                stood.append(
                    f"stage {stage} was left alone for {turn.for_s:.1f} s, and stage {stage - 1} ended "
                    f"{passed} tasks while {came_in} came in"
                )
            went_on += 1
    if history.spec.get("tasks") is None:
        return unknown("nothing is known of the load")
    return decide(
        case,
        late=stood,
        passed=f"{went_on} times a stage was left alone for {LONG_S:.0f} s or more under load, and the "
        f"stages before it went on.",
        idle=""
        if went_on
        else "no stage was left alone for long while tasks came in and nothing else failed",
    )


def _is_disturbed(history: History, since_s: float, until_s: float) -> bool:
    return any(
        fault.kind != ERRORS and fault.start_s <= until_s and (fault.end_s is None or fault.end_s >= since_s)
        for fault in history.faults
    )


def _others_open(of: Told, stage: int, since_s: float, until_s: float) -> bool:
    """Whether a breaker of an earlier stage was open about then."""
    return any(
        turn.state == "open"
        and turn.time_s - 1.0 <= until_s
        and turn.time_s + 2 * (turn.for_s or 0.0) >= since_s
        for earlier, turns in of.turns.items()
        if earlier < stage
        for turn in turns
    )


OPERATIONS: Operations = {**STAGE_ATTEMPTS, "breaker": Turned}
