"""How long recovery may take, computed from a swarm's timers before anybody looks. Pure.

what was struck ─► causes ─► what can be in the way of a task, one after the other ─► bound
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Literal

from squall.bus.connection import BACKOFF_S, PROBE_INTERVAL_S
from squall.bus.wire import ANSWER_S, CONNECT_TIMEOUT_S
from squall.chaos.plan.kinds import DISCONNECT, KINDS, SLOW
from squall.chaos.plan.surface import BROKER
from squall.services.effects.kinds import is_outside
from squall.services.patterns.pattern import VENUE
from squall.services.rules.effects import ANSWER_TIMEOUT_S, ASIDE_PAUSE_S_MAX
from squall.services.rules.sinks import SEND_TIMEOUT_S, WAIT_S_MAX
from squall.services.run.spec import Spec

TAKE_OVER_SLACK_S = 2.0
"""What a take-over may take beyond the silence of one lease."""

HAND_OVER_S = 1.0
"""What a hand-over that was planned may take, whatever the lease."""

DEGRADED_LEASES = 2
DEGRADED_SLACK_S = 1.0
RETURN_S = 2.0
"""Who hears of no leader for so many leases, and that much more, is degraded; and is not any more so long
after somebody leads again."""

START_S = 5.0
"""What a process may take from its end until it serves again."""

SLACK_S = 1.0
"""What a machine with other work may add to any of it."""

DELIVERIES = 3
"""How often what somebody held may be delivered again: its holder died, the next one did, and it was lost."""

SINK_S = SEND_TIMEOUT_S + ASIDE_PAUSE_S_MAX + WAIT_S_MAX
"""What somebody else's sink may add: no answer in time, a pause before the next try, and that it wants to be
left alone."""

Cause = Literal["link", "silence", "process", "lead", "delivery", "venue", "shut"]
"""What can be in the way of a task that was open as something was healed:

    link      a connection is opened again: the longest pause between two tries, and one that comes to nothing
    silence   a connection on which something was lost is noticed by two probes that are not answered
    process   a process serves again
    lead      another leads
    delivery  what somebody held is delivered again
    venue     a request is given up, and an order that was set aside is sent again
    shut      what is left alone for having failed is tried again, and then whatever had failed with it
"""

LOSING = ("blackhole", DISCONNECT, "one-way-up", "one-way-down")
"""Kinds of faults after which a connection can be open and have lost something."""

FAILING = ("errors", SLOW)
"""Kinds of faults under which attempts fail."""

ENDING = ("crash", "restart")
"""Kinds of faults that end a process, which is started again."""


def causes_of(kind: str, role: str, leading: str) -> frozenset[Cause]:
    """What a fault can put in the way.

    Args:
        role: Of the node that was struck; `BROKER` for the broker.
        leading: The role of which one node leads; empty if nobody does.
    """
    found: set[Cause] = set()
    if kind in ENDING:
        found.add("process")
    if role == VENUE:
        found.add("venue")
        return frozenset(found)
    if kind in FAILING:
        found.add("shut")
    known = KINDS.get(kind)
    cuts = known is None or (known.breaks == "link" and known.family != "slow")
    if cuts or role == BROKER or kind == "pause":
        found.add("link")
    if kind in LOSING or (role == BROKER and kind == "pause"):
        found.add("silence")
    if leading and role in (leading, BROKER):
        found.add("lead")
    if role != leading:
        found.add("delivery")
    return frozenset(found)


def recovery_bound_s(
    healed: Iterable[tuple[Collection[Cause], float]],
    *,
    lease_s: float,
    ack_wait_s: float,
    backlog_s: float,
    shut_s: float = 0.0,
) -> float:
    """How long what was accepted may take to end once all is healed: the sum of what can be in the way.

    Args:
        healed: Of each fault what it can put in the way, and how long before it was healed: so much of that
            has passed.
        backlog_s: How long it takes to offer as many tasks as are open.
        shut_s: How long a task may be put off where what handles it is left alone for having failed.
    """
    takes_s: dict[Cause, float] = {
        "link": BACKOFF_S[1] + CONNECT_TIMEOUT_S,
        "silence": PROBE_INTERVAL_S + 2 * ANSWER_S,
        "process": START_S,
        "lead": take_over_bound_s(lease_s),
        "delivery": DELIVERIES * ack_wait_s,
        "venue": ANSWER_TIMEOUT_S + ASIDE_PAUSE_S_MAX,
        "shut": shut_s,
    }
    left_s: dict[Cause, float] = {}
    for causes, ago_s in healed:
        for cause in causes:
            left_s[cause] = max(left_s.get(cause, 0.0), takes_s[cause] - ago_s)
    return sum(left_s.values()) + backlog_s + SLACK_S


ALWAYS: frozenset[Cause] = frozenset(("link", "silence", "lead", "delivery"))
"""What draining may have to wait for whatever was struck; it leaves time for what handlers do, too."""


def drain_bound_s(spec: Spec, backlog: int, causes: Collection[Cause], *, poison: int = 0) -> float:
    """How long everything accepted may take to end once all is healed, at the worst.

    Args:
        causes: What the faults of the run can have put in the way.
        poison: How many tasks are still to end that kill whoever works on them. They may be of one agent, and
            each runs alone: so one after the other, and each in all its attempts.
    """
    bound_s = poison * spec.attempts * max(spec.ack_wait_s, START_S) + recovery_bound_s(
        [(ALWAYS.union(causes), 0.0)],
        lease_s=spec.lease_s,
        ack_wait_s=spec.ack_wait_s,
        backlog_s=backlog / spec.rate_per_s,
        shut_s=spec.shut_s,
    )
    return bound_s + (SINK_S if is_outside(spec.effects) else 0.0)


def take_over_bound_s(lease_s: float) -> float:
    """How long a swarm may be without a leader that it could be without."""
    return lease_s + TAKE_OVER_SLACK_S


def degraded_bound_s(lease_s: float) -> float:
    """How long after its leader was lost a node may go on as if there were one."""
    return DEGRADED_LEASES * lease_s + DEGRADED_SLACK_S
