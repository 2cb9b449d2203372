"""The known-bad variants of hierarchical's services."""

from __future__ import annotations

from typing import Any

from squall.chaos.mutants.delivering import delivering
from squall.chaos.mutants.handling import handling
from squall.chaos.mutants.hierarchical import register_with_age
from squall.chaos.mutants.mutant import LATE, SLOW_GATEWAY, Catalogue, Mutant, twice
from squall.chaos.mutants.of_leaders import of_leaders
from squall.chaos.mutants.sending import sending
from squall.chaos.plan import varied
from squall.chaos.plan.schedule import Interval
from squall.chaos.plan.series import OUTAGE, OUTAGE_INTERVALS, POISONED

HERE = "squall.chaos.mutants.hierarchical"


def _service(name: str, what: str, checks: tuple[str, ...], *intervals: Interval, **more: Any) -> Mutant:
    module = f"{HERE}.{name.replace('-', '_')}"
    return Mutant(name, what, checks, intervals, **{"module": module, **more})


CATALOGUE = Catalogue(
    pattern="hierarchical",
    mutants=(
        _service(
            "ack-before-execute",
            "acknowledges a task before it executes it",
            ("U1", "H1"),
            *twice("crash", "any-agent", point="agent.delivered", nth=3),
        ),
        _service(
            "dumb-venue",
            "fills whatever comes, a repeat too",
            ("H2",),
            *twice("crash", "gateway", point="gateway.filled", nth=2),
            module="",
            spec={"venue": "dumb"},
        ),
        _service(
            "order-id-from-attempt",
            "names an order after the attempt, so that a repeat is another order",
            ("E1", "H1"),
            *twice("crash", "any-agent", point="agent.executed", nth=3),
        ),
        _service(
            "retry-as-new",
            "repeats a submission whose answer was lost without an id that tells it is the same",
            ("H1", "E1"),
            *twice("one-way-down", "producer", 3.0),
        ),
        _service(
            "queue-group",
            "hands work out over core NATS, where what is sent to a dead link is gone",
            ("H1",),
            *twice("blackhole-nofin", "any-agent", 3.0),
        ),
        _service(
            "lease-without-fence",
            "writes as leader without the term as its fence",
            ("H4",),
            *twice("pause", "leader", 2.5),
            module="squall.chaos.mutants.lease_without_fence",
        ),
        _service(
            "table-in-memory",
            "takes a submission off the ingress before its dispatch is stored",
            ("H1",),
            *twice("crash", "leader", point="coordinator.gathered", nth=3),
        ),
        _service(
            "deposed-still-assigns",
            "goes on dispatching when the broker has refused its old term",
            ("H4",),
            *twice("pause", "leader", 2.5),
        ),
        _service(
            "failover-replays",
            "dispatches what it finds open again, as new",
            ("H1", "E1"),
            *twice("crash", "leader", point="coordinator.dispatched", nth=3),
        ),
        _service(
            "register-with-age",
            "forgets a register after two seconds",
            ("H1",),
            *twice("pause", "minority", 2.0),
            module="",
            staged=register_with_age.staged,
        ),
        _service(
            "gives-up-reconnecting",
            "closes its connection for good after three attempts",
            ("H1", "L1"),
            *twice("refuse", "gateway", 4.0),
        ),
        _service(
            "short-flush",
            "gives a flush up before its PONG is there, which ends nats-py's read loop",
            ("H1", "L1"),
            *twice("latency", "gateway", 4.0, magnitude={"latency_ms": 400}),
        ),
        _service(
            "buffer-full-swallowed",
            "counts a publish that could not be sent as stored",
            ("H1",),
            *twice("refuse", "producer", 3.0),
        ),
        _service(
            "silent-worker",
            "works for longer than the ack wait and never says so",
            ("H5",),
            spec={"attempts": 1},
        ),
        _service(
            "crashes-by-defect",
            "ends once by an error of its own, and is started again",
            ("U1",),
            *SLOW_GATEWAY,
        ),
        _service(
            "drops-what-it-cannot-read",
            "cannot read one heartbeat in five, counts that, and goes on",
            ("U1",),
            *SLOW_GATEWAY,
        ),
        _service(
            "acks-on-receipt",
            "acknowledges registers when the gateway has received them",
            ("H1",),
            *twice("crash", "gateway", point="gateway.delivered", nth=3),
        ),
        _service(
            "watches-terms-only",
            "takes over from a leader that renews its lease",
            ("H4",),
            *twice("pause", "leader", 2.5),
        ),
        _service(
            "one-attempt-short",
            "gives a task up one attempt too early",
            ("H5",),
            *LATE,
            setting=POISONED,
        ),
        _service(
            "waits-for-what-expired",
            "takes what it asked for as on its way, though the request has expired",
            ("L5",),
            *OUTAGE_INTERVALS,
            setting=OUTAGE,
        ),
        _service("never-trims", "leaves every dispatch in its log for ever", ("H1",), *LATE),
        _service(
            "window-without-bound",
            "dispatches whatever comes, however much is open",
            ("H6",),
            *twice("pause", "all-agents", 2.0),
        ),
        _service(
            "letters-without-input",
            "has no input for dead letters of what its predecessor gave out",
            ("H5",),
            *twice("crash", "leader"),
            setting=POISONED,
        ),
        _service(
            "hedges-as-the-same",
            "gives a hedge the message id of the original, which the broker has had",
            ("H1", "H7"),
            *LATE,
            setting={"handler": varied.HANDLER, "hedge_after": 2.0, "rate_per_s": 100.0, "slots": 16},
        ),
        *handling(loss="H1", follows="H4"),
        *delivering(loss="H1"),
        *sending(loss="H1", one_effect="H2"),
        *of_leaders(loss="H1", follows="H4", alone={"coordinators": 1}),
    ),
)
