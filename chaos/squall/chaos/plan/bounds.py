"""How long recovery may take, computed from a swarm's timers before anybody looks. Pure."""

from __future__ import annotations

from squall.bus.connection import BACKOFF_S, PROBE_INTERVAL_S
from squall.bus.link import CONNECT_TIMEOUT_S, PROBE_TIMEOUT_S
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


def take_over_bound_s(lease_s: float) -> float:
    """How long a swarm may be without a leader that it could be without."""
    return lease_s + TAKE_OVER_SLACK_S


def degraded_bound_s(lease_s: float) -> float:
    """How long after its leader was lost a node may go on as if there were one."""
    return DEGRADED_LEASES * lease_s + DEGRADED_SLACK_S


def drain_bound_s(spec: Spec, backlog: int) -> float:
    """How long what was accepted may take to end once everything is healed.

    The sum of what can be in the way at the worst, one after the other: a dead link is noticed, a new one is
    opened, a leader is followed, a task's worker died and it is delivered twice more, a gateway's delivery
    likewise; and the backlog, at the rate that was offered.
    """
    noticed_s = PROBE_INTERVAL_S + 2 * PROBE_TIMEOUT_S
    opened_s = BACKOFF_S[1] + CONNECT_TIMEOUT_S
    redelivered_s = 3 * spec.ack_wait_s
    return noticed_s + opened_s + take_over_bound_s(spec.lease_s) + redelivered_s + backlog / spec.rate_per_s
