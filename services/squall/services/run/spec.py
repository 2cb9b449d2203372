"""The spec of a swarm: what every pattern's `swarm.toml` may say, and what is refused before anything starts.

A pattern adds its own fields beside these, in a struct that inherits `Spec`; see `patterns`. How a file
becomes a spec is in `swarm_toml.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any, ClassVar, Literal, TypeVar

import msgspec
from msgspec import Meta

from squall.bus.border import check_name
from squall.bus.errors import InvalidNameError
from squall.bus.queue import Pacing
from squall.services.effects import kinds as sinks
from squall.services.effects.port import Sending
from squall.services.errors import SpecError
from squall.services.handlers import kinds
from squall.services.handlers.port import Form, Handling
from squall.services.intake import subject
from squall.services.run.toml_writer import as_toml

HELD_UP_S = 10.0
"""After an attempt's time: until an agent that its handler holds up is ended and started again."""

Seconds = Annotated[float, Meta(gt=0)]

SEED_MAX = 2**63 - 1
"""Of what nodes are told, a number beyond could not be read."""


HANDLER = "squall.services.trading.strategies:decide"
"""What a task is given to where nobody says otherwise."""


BUILT_IN = "squall."
"""What the names of handlers begin with that come with the package."""


TOGETHER = 16
"""Effects that are on their way to a sink at a time. Higher carries more out where the sink answers slowly;
lower asks less of it."""


INDEPENDENT = "independent"
"""The workload whose orders can be carried out in any order."""

SEQUENCED = "sequenced"
"""The workload whose orders follow each other."""

OWN = "own"
"""The workload that a user brings."""


def is_own(handler: str) -> bool:
    """Whether a handler is a user's own."""
    return not handler.startswith(BUILT_IN)


AGENTS_MAX = 5000
"""Most agents of a swarm: how many a simulated one was tried with. As processes they need memory first."""


class Spec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A swarm and its workload, as far as all patterns have it.

    Attributes:
        pattern: Deployment pattern.
        swarm: The swarm's name; the first token of its subjects.
        seed: All randomness of the workload comes from it.
        agents: Nodes that run the handler.
        handler: What a task is given to, as ``--handler`` takes it; see `handlers.kinds`.
        handler_parameters, handler_environment, handler_headers, handler_server, handler_credentials,
            handler_guest, handler_answer: What ``[handler]`` says beside it; see `Handling`.
        workload: ``independent``: quantities do not depend on earlier orders; ``sequenced``: each order
            follows the one before it of its key, where a pattern keeps that order; ``own``: a user's tasks.
        tasks: How many are offered; of a user's own at most.
        tasks_from: Where a user's own tasks are read, a path or ``-``, or ``nats:SUBJECT`` where they come
            in; empty for the pattern's workload.
        tasks_server, tasks_credentials, tasks_consumer: What ``[tasks]`` says of a subject; see
            `intake.subject.Source`.
        tasks_seconds: How long tasks are taken from a subject; 0 is until so many have come, or the user ends
            it.
        rate_per_s: How many are offered a second; latencies count from the moment a task was due.
        patience_s: How long a refused task is offered again before it counts as refused for good.
        task_deadline_s: After this a task's effect is worth nothing; reported, not enforced.
        slots: Tasks an agent runs at a time.
        ack_wait_s: Silence after which a task is given to another agent.
        attempts: Attempts a task gets before it is a dead letter.
        retry_base_s, retry_cap_s: Bounds of the pause after a failed attempt.
        handler_timeout_s: How long one attempt may take.
        lease_s: Silence after which a leader is replaced, where somebody leads.
        ingress_max: Most tasks accepted and not yet taken up; beyond, submissions are refused.
        credentials_life_s: How long minted credentials live; they are renewed at two thirds.
        effects: Where what handlers intend is carried out; see `effects.kinds`.
        effects_headers, effects_templates, effects_server, effects_credentials, effects_journal,
            effects_together, effects_batch: What ``[effects]`` says beside it; see `Sending`.
        venue: ``idempotent`` refuses a repeated order id as exchanges do; ``dumb`` fills whatever comes.
    """

    pattern: str
    swarm: str = "squall"
    seed: Annotated[int, Meta(ge=-SEED_MAX, le=SEED_MAX)] = 7
    agents: Annotated[int, Meta(ge=1, le=AGENTS_MAX)] = 4
    handler: str = HANDLER
    handler_parameters: dict[str, Any] = {}
    handler_environment: tuple[str, ...] = ()
    handler_headers: dict[str, str] = {}
    handler_server: str = ""
    handler_credentials: str = ""
    handler_guest: str = ""
    handler_answer: Form = "json"
    workload: Literal["independent", "sequenced", "own"] = "independent"
    tasks: Annotated[int, Meta(ge=1, le=10_000_000)] = 5000
    tasks_from: Annotated[str, Meta(max_length=4096)] = ""
    tasks_server: str = ""
    tasks_credentials: str = ""
    tasks_consumer: str = ""
    tasks_seconds: Annotated[float, Meta(ge=0)] = 0.0
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
    ingress_max: Annotated[int, Meta(ge=1, le=1_000_000)] = 4000
    credentials_life_s: Annotated[float, Meta(ge=3)] = 600.0
    effects: Annotated[str, Meta(min_length=1, max_length=4096)] = "venue"
    effects_headers: dict[str, str] = {}
    effects_templates: dict[str, str] = {}
    effects_server: str = ""
    effects_credentials: str = ""
    effects_journal: str = ""
    effects_together: Annotated[int, Meta(ge=1, le=256)] = TOGETHER
    effects_batch: Annotated[int, Meta(ge=1, le=256)] = 1
    venue: Literal["idempotent", "dumb"] = "idempotent"

    workloads: ClassVar[Sequence[str]] = (INDEPENDENT, OWN)
    """Which workloads swarms of this kind can have."""

    @property
    def able(self) -> Collection[str]:
        """The capabilities of all agents, of which a task of a user's own may need one."""
        return ()

    @property
    def is_sequenced(self) -> bool:
        """Whether each order follows the one before it of its key."""
        return self.workload == SEQUENCED

    @property
    def handling(self) -> Handling:
        return Handling(
            name=self.handler,
            parameters=self.handler_parameters,
            environment=self.handler_environment,
            headers=self.handler_headers,
            server=self.handler_server,
            credentials=self.handler_credentials,
            guest=self.handler_guest,
            answer=self.handler_answer,
        )

    @property
    def sending(self) -> Sending:
        return Sending(
            name=self.effects,
            headers=self.effects_headers,
            templates=self.effects_templates,
            server=self.effects_server,
            credentials=self.effects_credentials,
            journal=self.effects_journal,
            together=self.effects_together,
            batch=self.effects_batch,
        )

    @property
    def source(self) -> subject.Source:
        return subject.Source(
            name=self.tasks_from,
            server=self.tasks_server,
            credentials=self.tasks_credentials,
            consumer=self.tasks_consumer,
        )

    @property
    def has_venue(self) -> bool:
        """Whether the swarm has a venue of its own, where effects are carried out."""
        return self.effects == sinks.VENUE.prefix

    @property
    def pacing(self) -> Pacing:
        return Pacing(self.ack_wait_s, self.attempts, self.retry_base_s, self.retry_cap_s)

    @property
    def shut_s(self) -> float:
        """How long a task may be put off where what handles it is left alone for having failed."""
        return 0.0

    @property
    def drain_bound_s(self) -> float:
        """How long draining may take: every attempt lost, every pause at its longest, two fail-overs."""
        attempt = self.ack_wait_s + self.pacing.retry_cap_s + self.handler_timeout_s + HELD_UP_S
        return self.attempts * attempt + 2 * (self.lease_s + 2.0) + 10.0 + self.shut_s

    def toml(self) -> str:
        """The spec as a file that `load` reads."""
        return as_toml(msgspec.structs.asdict(self))


S = TypeVar("S", bound=Spec)


def spec_as(spec: Spec, kind: type[S]) -> S:
    """A spec as that of a certain pattern, for code that serves that pattern alone.

    Raises:
        TypeError: It is of another pattern.
    """
    if not isinstance(spec, kind):
        raise TypeError(f"a {kind.__name__} is needed, and this is a {type(spec).__name__}")
    return spec


def check_common(spec: Spec) -> None:
    """See that a spec contradicts itself in nothing that all patterns have.

    Raises:
        SpecError: It does.
    """
    try:
        check_name(spec.swarm, "swarm name")
    except InvalidNameError as error:
        raise SpecError(str(error)) from error
    if spec.workload not in spec.workloads:
        raise SpecError(
            f"{spec.workload!r} is no workload of {spec.pattern}", f"use one of {', '.join(spec.workloads)}"
        )
    if (spec.workload == OWN) is not bool(spec.tasks_from):
        raise SpecError(
            "the workload is 'own' where tasks_from says where it is read, and nowhere else",
            "leave workload out, and name the file of your tasks in tasks_from",
        )
    if spec.tasks_from and not is_own(spec.handler):
        raise SpecError(
            "the handler that comes with Squall trades bars, and cannot read tasks of your own",
            "name yours, for instance --handler mine:decide",
        )
    if spec.retry_base_s > spec.retry_cap_s:
        raise SpecError("retry_base_s is above retry_cap_s", "lower the one or raise the other")
    subject.check(
        spec.source, [field for field in subject.FIELDS if getattr(spec, f"tasks_{field}") not in ("", 0.0)]
    )
    kinds.check(spec.handling)
    sending = spec.sending
    unsaid = {"together": TOGETHER, "batch": 1}
    said = [each for each in sinks.FIELDS if getattr(sending, each) not in ({}, "", unsaid.get(each))]
    sinks.check(sending, said)
