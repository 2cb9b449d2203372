"""A pattern whose leader may say who is given which task: what a file can say of that, and what it may not.

distribution, capabilities ─► rules/distribution.py ─┬─► roles/distributor.py
hedge_after                ─► rules/hedging.py      ─┘
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated

import msgspec
from msgspec import Meta

from squall.bus.border import check_name, printable
from squall.bus.errors import InvalidNameError
from squall.services.errors import SpecError
from squall.services.rules.distribution import PULL, Strategy
from squall.services.run.spec import OWN, Spec, is_own


class DistributedSpec(Spec, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """A swarm whose leader may say who is given a task.

    Attributes:
        distribution: Who is given a task; see `rules.distribution`.
        capabilities: What each agent can do, under ``specialised``. A task needs what its job is called,
            which of a user's own may be what its record says.
        hedge_after: A task is tried a second time beside the first once it takes so many times as long as
            95 % of them do; 0 for never. Higher costs less work; lower cuts the tail sooner.
        handler_idempotent: The handler may be called twice with one task at the same time.
    """

    distribution: Strategy = PULL
    capabilities: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict[str, tuple[str, ...]])
    hedge_after: Annotated[float, Meta(ge=0)] = 0.0
    handler_idempotent: bool = False

    @property
    def is_addressed(self) -> bool:
        """Whether whoever leads says who is given which task."""
        return self.distribution != PULL


def check(spec: DistributedSpec, *, needed: Collection[str], own: bool = False) -> None:
    """See that every task has somebody who may be given it, and that what is hedged may be.

    Args:
        needed: The capabilities that tasks of the trading workload need.
        own: Whether a task of a user's own may say what it needs.

    Raises:
        SpecError: One has not, or may not.
    """
    _check_capabilities(spec, needed, own)
    if spec.hedge_after and not (spec.handler_idempotent or not is_own(spec.handler)):
        raise SpecError(
            "hedge_after has a handler called twice with one task, and this one does not say that it may be",
            "say idempotent = true in [handler] if it may, or leave hedge_after out",
        )
    if 0 < spec.hedge_after < 1:
        raise SpecError(
            f"hedge_after = {spec.hedge_after:g} calls a task late that is sooner than most",
            "make it at least 1, for instance 2",
        )


def _check_capabilities(spec: DistributedSpec, needed: Collection[str], own: bool) -> None:
    if spec.capabilities and spec.distribution != "specialised":
        raise SpecError(
            f'capabilities are of no use where distribution = "{spec.distribution}"',
            'leave them out, or say distribution = "specialised"',
        )
    agents = {f"agent-{number}" for number in range(1, spec.agents + 1)}
    if strangers := sorted(set(spec.capabilities) - agents):
        raise SpecError(
            f"capabilities names {printable(strangers[0], 40)}, and there is no such agent",
            f"the agents are agent-1 to agent-{spec.agents}",
        )
    if spec.distribution != "specialised":
        return
    able = {each for can in spec.capabilities.values() for each in can}
    if spec.workload == OWN:
        if not own:
            raise SpecError(
                "tasks of your own name nothing that an agent could have the capability for",
                'choose another distribution, for instance "affinity"',
            )
        if not able:
            raise SpecError(
                "no agent has a capability that a task of yours could need",
                'say for instance capabilities = {agent-1 = ["gpu"]}, and "needs": "gpu" in a record',
            )
        for each in able:
            _check_capability(each)
        return
    if lacking := [each for each in needed if each not in able]:
        raise SpecError(
            f"no agent has the capability {lacking[0]}, which tasks of this workload need",
            f'say for instance capabilities = {{agent-1 = ["{lacking[0]}"], …}}',
        )
    if unknown := sorted(able - set(needed)):
        raise SpecError(
            f"no task needs the capability {printable(unknown[0], 40)}",
            f"those that are needed are {', '.join(needed)}",
        )


def _check_capability(name: str) -> None:
    """See that a capability can be what jobs are called that need it.

    Raises:
        SpecError: It cannot.
    """
    try:
        check_name(name, "capability")
    except InvalidNameError as error:
        raise SpecError(str(error)) from error
