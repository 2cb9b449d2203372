"""The known-bad variants: what each does wrong, under which fault it shows, which check must see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from squall.chaos.errors import HarnessBrokenError
from squall.chaos.mutants import harness, register_with_age
from squall.chaos.plan.schedule import Interval
from squall.services.errors import SteadyStateError

HERE = "squall.chaos.mutants"


@dataclass(frozen=True)
class Mutant:
    """One known-bad variant.

    Attributes:
        what: In one line, what it does wrong.
        checks: Ids of the checks one of which must fail; none for a variant of the harness, under which
            nothing may pass.
        intervals: The fault under which it shows.
        module: What the nodes preload, or empty.
        spec: How the swarm differs because of the mutation; the good variant does not.
        staged: What is switched in the harness's own process.
        errors: How the harness may end the run itself, which counts as caught.
    """

    name: str
    what: str
    checks: tuple[str, ...]
    intervals: tuple[Interval, ...] = ()
    module: str = ""
    spec: Mapping[str, Any] = field(default_factory=dict)
    staged: Callable[[], AbstractContextManager[None]] = harness.nothing
    errors: tuple[type[Exception], ...] = ()

    @property
    def fault(self) -> str:
        """The fault, in words."""
        if not self.intervals:
            return "none"
        interval = self.intervals[0]
        return f"{interval.fault} of {interval.target}" + (f" at {interval.point}" if interval.point else "")


def _service(name: str, what: str, checks: tuple[str, ...], *intervals: Interval, **more: Any) -> Mutant:
    module = f"{HERE}.{name.replace('-', '_')}"
    return Mutant(name, what, checks, intervals, **{"module": module, **more})


def _twice(fault: str, target: str, for_s: float = 0.0, **more: Any) -> tuple[Interval, ...]:
    return tuple(
        Interval(fault=fault, target=target, at_s=at_s, for_s=for_s, **more) for at_s in (0.2, for_s + 2.0)
    )


SLOW_GATEWAY = (Interval(fault="latency", target="gateway", at_s=0.2, for_s=1.0),)
"""A fault that every good harness puts in force, sees, and takes back."""

SERVICES = (
    _service(
        "ack-before-execute",
        "acknowledges a task before it executes it",
        ("U1", "H1"),
        *_twice("crash", "any-agent", point="agent.delivered", nth=3),
    ),
    _service(
        "dumb-venue",
        "fills whatever comes, a repeat too",
        ("H2",),
        *_twice("crash", "gateway", point="gateway.filled", nth=2),
        module="",
        spec={"venue": "dumb"},
    ),
    _service(
        "order-id-from-attempt",
        "names an order after the attempt, so that a repeat is another order",
        ("E1", "H1"),
        *_twice("crash", "any-agent", point="agent.executed", nth=3),
    ),
    _service(
        "retry-as-new",
        "repeats a submission whose answer was lost without an id that tells it is the same",
        ("H1", "E1"),
        *_twice("one-way-down", "producer", 3.0),
    ),
    _service(
        "queue-group",
        "hands work out over core NATS, where what is sent to a dead link is gone",
        ("H1",),
        *_twice("blackhole-nofin", "any-agent", 3.0),
    ),
    _service(
        "lease-without-fence",
        "writes as leader without the term as its fence",
        ("H4",),
        *_twice("pause", "leader", 2.5),
    ),
    _service(
        "table-in-memory",
        "takes a submission off the ingress before its dispatch is stored",
        ("H1",),
        *_twice("crash", "leader", point="coordinator.gathered", nth=3),
    ),
    _service(
        "deposed-still-assigns",
        "goes on dispatching when the broker has refused its old term",
        ("H4",),
        *_twice("pause", "leader", 2.5),
    ),
    _service(
        "failover-replays",
        "dispatches what it finds open again, as new",
        ("H1", "E1"),
        *_twice("crash", "leader", point="coordinator.dispatched", nth=3),
    ),
    _service(
        "register-with-age",
        "forgets a register after two seconds",
        ("H1",),
        *_twice("pause", "minority", 2.0),
        module="",
        staged=register_with_age.staged,
    ),
    _service(
        "gives-up-reconnecting",
        "closes its connection for good after three attempts",
        ("H1", "L1"),
        *_twice("refuse", "gateway", 4.0),
    ),
    _service(
        "short-flush",
        "gives a flush up before its PONG is there, which ends nats-py's read loop",
        ("H1", "L1"),
        *_twice("latency", "gateway", 4.0, magnitude={"latency_ms": 400}),
    ),
    _service(
        "buffer-full-swallowed",
        "counts a publish that could not be sent as stored",
        ("H1",),
        *_twice("refuse", "producer", 3.0),
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
)

HARNESS = (
    Mutant("heal-not-sent", "does not take a fault back", (), SLOW_GATEWAY, staged=harness.heal_not_sent),
    Mutant(
        "toxic-without-effect",
        "puts something in force that does nothing",
        (),
        SLOW_GATEWAY,
        staged=harness.toxic_without_effect,
    ),
    Mutant("history-lost", "loses a part of the history", (), SLOW_GATEWAY, staged=harness.history_lost),
    Mutant(
        "empty-workload", "offers nothing", (), module=f"{HERE}.idle_producer", errors=(SteadyStateError,)
    ),
    Mutant("wrong-clock", "dates one node's lines an hour ahead", (), SLOW_GATEWAY, f"{HERE}.wrong_clock"),
    Mutant(
        "checker-swallowed",
        "goes on when a check has raised",
        (),
        SLOW_GATEWAY,
        staged=harness.checker_swallowed,
    ),
    Mutant(
        "node-past-its-proxy",
        "lets a node reach the broker past its proxy",
        (),
        SLOW_GATEWAY,
        staged=harness.node_past_its_proxy,
        errors=(HarnessBrokenError,),
    ),
)

MUTANTS = (*SERVICES, *HARNESS)
