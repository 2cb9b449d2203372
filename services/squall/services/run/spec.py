"""The spec of a swarm: what `swarm.toml` may say, and what is refused before anything starts."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from squall.bus.border import check_name
from squall.bus.errors import InvalidNameError
from squall.bus.work_queue import Pacing
from squall.services.errors import SpecError

PATTERNS = ("hierarchical",)
PLANNED = ("mesh", "ring", "star", "autoscaling", "multi-strategy", "blue-green", "canary")

WINDOW_MAX = 100_000
"""The largest window; a coordinator's snapshot of it fits a message."""

HELD_UP_S = 10.0
"""After an attempt's time: until an agent that its handler holds up is ended and started again."""

Seconds = Annotated[float, Meta(gt=0)]


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A swarm and its workload.

    Attributes:
        pattern: Deployment pattern.
        swarm: The swarm's name; the first token of its subjects.
        seed: All randomness of the workload comes from it.
        agents: Workers.
        coordinators: The leader and its standbys.
        handler: What a task is given to, ``package.module:function`` or ``path/to/file.py:function``.
        workload: ``independent``: quantities do not depend on earlier orders.
        tasks: How many are offered.
        rate_per_s: How many are offered a second; latencies count from the moment a task was due.
        patience_s: How long a refused task is offered again before it counts as refused for good.
        task_deadline_s: After this a task's effect is worth nothing; reported, not enforced.
        slots: Tasks an agent runs at a time.
        ack_wait_s: Silence after which a task is given to another agent.
        attempts: Attempts a task gets before it is a dead letter.
        retry_base_s, retry_cap_s: Bounds of the pause after a failed attempt.
        handler_timeout_s: How long one attempt may take.
        lease_s: Silence after which a leader is replaced.
        window_max: Most tasks dispatched and not yet terminal.
        ingress_max: Most tasks accepted and not yet dispatched; beyond, submissions are refused.
        credentials_life_s: How long minted credentials live; they are renewed at two thirds.
        venue: ``idempotent`` refuses a repeated order id as exchanges do; ``dumb`` fills whatever comes.
        pause_leader: Stop the leader for longer than its lease in mid-run and resume it, so that the run
            shows a fail-over.
    """

    pattern: str = "hierarchical"
    swarm: str = "squall"
    seed: int = 7
    agents: Annotated[int, Meta(ge=1, le=200)] = 4
    coordinators: Annotated[int, Meta(ge=1, le=5)] = 2
    handler: str = "squall.services.trading.strategies:decide"
    workload: Literal["independent"] = "independent"
    tasks: Annotated[int, Meta(ge=1, le=10_000_000)] = 5000
    rate_per_s: Seconds = 1000.0
    patience_s: Annotated[float, Meta(ge=0)] = 60.0
    task_deadline_s: Seconds = 60.0
    slots: Annotated[int, Meta(ge=1, le=256)] = 8
    ack_wait_s: Seconds = 5.0
    attempts: Annotated[int, Meta(ge=1, le=20)] = 5
    retry_base_s: Seconds = 0.5
    retry_cap_s: Seconds = 10.0
    handler_timeout_s: Seconds = 120.0
    lease_s: Seconds = 1.0
    window_max: Annotated[int, Meta(ge=1, le=WINDOW_MAX)] = 4000
    ingress_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 4000
    credentials_life_s: Annotated[float, Meta(ge=3)] = 600.0
    venue: Literal["idempotent", "dumb"] = "idempotent"
    pause_leader: bool = True

    @property
    def pacing(self) -> Pacing:
        return Pacing(self.ack_wait_s, self.attempts, self.retry_base_s, self.retry_cap_s)

    @property
    def drain_bound_s(self) -> float:
        """How long draining may take: every attempt lost, every pause at its longest, two fail-overs."""
        attempt = self.ack_wait_s + self.pacing.retry_cap_s + self.handler_timeout_s + HELD_UP_S
        return self.attempts * attempt + 2 * (self.lease_s + 2.0) + 10.0

    def toml(self) -> str:
        """The spec as a file that `load` reads."""
        lines = (f"{name} = {_toml_value(value)}" for name, value in msgspec.structs.asdict(self).items())
        return "\n".join(lines) + "\n"


def _toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return msgspec.json.encode(value).decode()


def check(spec: Spec) -> Spec:
    """Return the spec if it can be run.

    Raises:
        SpecError: It contradicts itself or asks for what does not exist.
    """
    if spec.pattern in PLANNED:
        raise SpecError(f"the pattern {spec.pattern} is not built yet", f"use {', '.join(PATTERNS)}")
    if spec.pattern not in PATTERNS:
        raise SpecError(f"there is no pattern {spec.pattern!r}{_nearest(spec.pattern, PATTERNS + PLANNED)}")
    try:
        check_name(spec.swarm, "swarm name")
    except InvalidNameError as error:
        raise SpecError(str(error)) from error
    if spec.window_max < 2 * spec.slots * spec.agents:
        raise SpecError(
            f"window_max {spec.window_max} would starve {spec.agents} agents of {spec.slots} slots",
            f"raise it to at least {2 * spec.slots * spec.agents}",
        )
    if spec.retry_base_s > spec.retry_cap_s:
        raise SpecError("retry_base_s is above retry_cap_s", "lower the one or raise the other")
    if ":" not in spec.handler or not all(spec.handler.rsplit(":", 1)):
        raise SpecError(
            f"the handler {spec.handler!r} is not of the form package.module:function",
            "for instance --handler mypackage.trading:decide",
        )
    return spec


def load(path: Path) -> Spec:
    """Read a `swarm.toml`, strictly.

    Raises:
        SpecError: It cannot be read, or says something that no spec says.
    """
    try:
        values = tomllib.loads(path.read_text())
    except OSError as error:
        raise SpecError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path} is not valid TOML: {error}") from error
    known = Spec.__struct_fields__
    for name in values:
        if name not in known:
            raise SpecError(f"{path} says {name!r}, which no spec has{_nearest(name, known)}")
    return convert(values, str(path))


def convert(values: dict[str, Any], origin: str) -> Spec:
    """Make a spec of values from outside.

    Raises:
        SpecError: A value has the wrong type or is out of bounds.
    """
    try:
        return check(msgspec.convert(values, Spec, strict=True))
    except msgspec.ValidationError as error:
        raise SpecError(f"{origin} is not usable: {error}") from error


def _nearest(name: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(sorted(known))}"
