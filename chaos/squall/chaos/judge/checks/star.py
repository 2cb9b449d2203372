"""What must hold of a hub and its spokes: S1 to S6, H7, and that the log explains the ledger. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from squall.chaos.evidence.operations import LEADING, Dispatch, Given
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks.accounts import balance, effects
from squall.chaos.judge.checks.distribution import DISTRIBUTED
from squall.chaos.judge.checks.hub_change import Command, no_flapping, recovery_time, zombie_hub
from squall.chaos.judge.checks.hub_log import (
    Claimed,
    Decide,
    Decided,
    Gift,
    Requested,
    Snapshot,
    as_given,
    flattened,
    ledger_as_replayed,
    of_class,
    one_decision,
    single_writer,
)
from squall.chaos.judge.checks.hub_loss import Degraded, degraded_mode
from squall.chaos.judge.checks.of_all import OF_ALL
from squall.chaos.judge.checks.poison import contained
from squall.chaos.judge.decide import Finding, unknown
from squall.chaos.judge.promise import DELIVERING, Promise, Promises, an_experiment
from squall.chaos.plan.kinds import HAND_OVER
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.plan.series import EXPERIMENT, Plan, outage, poison, tail, there, varied_run
from squall.services.patterns.star import StarSpec, owners
from squall.services.rules.distribution import PULL
from squall.services.rules.effects import PAUSE_S_MAX
from squall.services.run.spec import Spec

EXPOSURE_MAX = 300
"""A bound that the load of an experiment meets within seconds, so that orders are cut."""

POISON_S = 6.0
ATTEMPTS = 3
"""For how long poison is offered, and how often it is tried: nobody but the one spoke that has its class can,
and each time it is away for as long as a start takes."""

LOST_LEASES = 5
"""For how many leases no hub is there in the run in which all of them are lost."""

CHANGES = (
    Interval(fault=HAND_OVER, target="leader", at_s=0.5),
    Interval(fault=HAND_OVER, target="leader", at_s=3.5),
    Interval(fault="latency", target="standby", at_s=6.5, for_s=3.0, magnitude={"latency_ms": 150}),
    Interval(fault="crash", target="leader", at_s=7.0),
    Interval(fault="pause", target="broker", at_s=12.0, for_s=2.0),
)
"""Two hand-overs; a fail-over to a hub that reads slowly what went before; and a broker that is away."""


def no_lost_or_double_decision(case: Case) -> Finding:
    """S4: one decision for each accepted task, its register; one fill for each intent; the dead letters."""
    history = case.history
    if not history.submissions and not history.registers:
        return unknown("nothing was submitted")
    accounts = balance(case, own=flattened(history)) + effects(case)
    return (accounts + one_decision(case) + contained(case)).decided(case)


def ledger(case: Case) -> Finding:
    """E1: see `ledger_as_replayed`."""
    history = case.history
    if history.spec.get("distribution", PULL) != PULL:
        return ledger_as_replayed(case, as_given(history))
    if not history.asked.agents:
        return unknown("it is not known which spoke has which class")
    return ledger_as_replayed(case, of_class(owners(StarSpec(agents=history.asked.agents))))


def runs(spec: Spec, seed: int) -> Sequence[Plan]:
    """Poison; a struck tail; changes of leader of several kinds; and all hubs lost while there is work."""

    def struck(name: str, quiet_s: float, intervals: Sequence[Interval]) -> Plan:
        schedule = Schedule(seed=seed, quiet_s=quiet_s, intervals=there(spec, intervals))
        return Plan(name, replace(spec, seed=seed), schedule)

    return (
        poison(spec, seed, quiet_s=POISON_S, attempts=ATTEMPTS),
        tail(spec, seed),
        varied_run(spec, seed),
        outage(spec, seed),
        struck("changes", 15.0, CHANGES),
        struck("no-hub", 10.0, without_hubs(spec.lease_s)),
    )


def without_hubs(lease_s: float) -> tuple[Interval, ...]:
    """All hubs stand still for long; gateway and some spokes, cut off before, come back in between.

    So there are decisions to carry out, and tasks to make requests for, while nobody leads. Then they do so
    once more, and it is the venue that comes back: orders wait for it, some of which may go and some not.
    """
    cut_s, lost_s = 2.5 * lease_s + 1.0, LOST_LEASES * lease_s
    again_s = 1.5 + lost_s + 1.5
    return (
        Interval(fault="refuse", target="gateway", at_s=0.5, for_s=cut_s),
        Interval(fault="refuse", target="minority", at_s=0.5, for_s=cut_s),
        Interval(fault="pause", target="all-hubs", at_s=1.5, for_s=lost_s),
        Interval(fault="refuse", target="venue", at_s=again_s, for_s=1.5 + cut_s),
        Interval(fault="pause", target="all-hubs", at_s=again_s + 1.5, for_s=lost_s + PAUSE_S_MAX),
    )


PROMISES = Promises(
    pattern="star",
    promises=(
        Promise(
            id="S1",
            name="single-writer",
            text="Between two terms in the log, all decisions are by the holder of the first.",
            check=single_writer,
        ),
        Promise(
            id="S2",
            name="zombie-hub",
            text="A hub that wakes after it was followed writes nothing, and nobody obeys it.",
            check=zombie_hub,
            sometimes=True,
        ),
        Promise(
            id="S3",
            name="recovery-time",
            text="A lost hub's successor decides within lease + 2 s; after a planned hand-over, within 1 s.",
            check=recovery_time,
            sometimes=True,
        ),
        Promise(
            id="S4",
            name="one-decision",
            text="Each accepted task has one decision, which is its register; each intent one fill.",
            check=no_lost_or_double_decision,
            exercised="duplicates_suppressed",
            shown_by="poison",
        ),
        Promise(
            id="S5",
            name="degraded-mode",
            text="After 2 leases without a hub only reductions pass; 2 s after a new term all is as before.",
            check=degraded_mode,
            when=lambda history: an_experiment(history) or bool(history.of(Degraded)),
            sometimes=True,
        ),
        Promise(
            id="S6",
            name="no-flapping",
            text="The leader changes after a fault on it or the broker only, and once a fault at most.",
            check=no_flapping,
            sometimes=True,
        ),
        Promise(
            id="E1",
            name="ledger-as-replayed",
            text="Decisions and ledger are what the harness computes from the requests of the hub's log.",
            check=ledger,
        ),
        DISTRIBUTED,
        *OF_ALL,
    ),
    operations={
        **LEADING,
        "decide": Decide,
        "dispatch": Dispatch,
        "given": Given,
        "command": Command,
        "degraded": Degraded,
        "final/term": Claimed,
        "final/gift": Gift,
        "final/request": Requested,
        "final/decision": Decided,
        "final/snapshot": Snapshot,
    },
    batches=Decide,
    to_an_effect=(
        "hub.gathered",
        "hub.decided",
        "agent.delivered",
        "agent.executed",
        "agent.committed",
        *DELIVERING,
    ),
    experiment={**EXPERIMENT, "pause_leader": False, "exposure_max": EXPOSURE_MAX},
    runs=runs,
)
