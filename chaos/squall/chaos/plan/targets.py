"""Targets: roles in the pattern, resolved to nodes at the moment a fault strikes."""

from __future__ import annotations

import difflib
import random
import re
from collections.abc import Sequence

from squall.chaos.errors import FaultError
from squall.chaos.inject.faults.fault import BROKER, Fault
from squall.services.patterns import pattern_of
from squall.services.patterns.pattern import AGENT
from squall.services.run.spec import Spec

ROLES = ("leader", "standby", "any-agent", "all-agents", "minority", "gateway", "producer", BROKER)
"""``minority``: some agents, fewer than half."""

MINORITY_AGENTS_MIN = 3
_PAIR = re.compile(r"[|,~<>]|\bfrom\b|\band\b")


def leaders(spec: Spec) -> list[str]:
    """The nodes that stand for the leadership."""
    pattern = pattern_of(spec)
    return [node.name for node in pattern.topology(spec).of_role(pattern.leader)]


def agents_of(spec: Spec) -> list[str]:
    """The nodes that run handlers."""
    return [node.name for node in pattern_of(spec).topology(spec).of_role(AGENT)]


def check_target(fault: Fault, target: str, spec: Spec) -> None:
    """See that a fault can strike a target.

    Raises:
        FaultError: There is no such target in this swarm, or the fault has no hold on it.
    """
    if _PAIR.search(target):
        raise FaultError(
            f"{target!r} names a link between nodes, and with one broker they have none to cut",
            "cut one of them from the broker: name it alone",
        )
    names = [
        "gateway",
        "producer",
        *leaders(spec),
        *agents_of(spec),
    ]
    if target not in ROLES and target not in names:
        near = difflib.get_close_matches(target, [*ROLES, *names], 1)
        remedy = f"did you mean {near[0]}?" if near else f"there are {', '.join(ROLES)}, and nodes by name"
        raise FaultError(f"there is no target {target!r} in this swarm", remedy)
    if target == BROKER and fault.breaks != "process":
        raise FaultError(
            f"{fault.name} acts on the way of a node to the broker, and the broker has none",
            "name a node or a role; crash, pause and restart act on the broker",
        )
    if target == "standby" and len(leaders(spec)) < 2:
        raise FaultError("there is no standby: the swarm has one coordinator", "raise coordinators to 2")
    if target == "minority" and spec.agents < MINORITY_AGENTS_MIN:
        raise FaultError(
            f"{spec.agents} agents have no minority", f"raise agents to at least {MINORITY_AGENTS_MIN}"
        )
    if target == "producer" and fault.breaks != "link":
        raise FaultError(
            "the producer is the experiment's own witness of what it offered and must live and not be misled",
            "cut its way to the broker instead",
        )
    if target == "standby" and fault.name in ("duplicate", "late", "reorder"):
        raise FaultError("nothing is delivered to a standby", "name the leader")


def nodes_of(target: str, spec: Spec, leader: str | None, chance: random.Random) -> Sequence[str]:
    """The nodes that a target means now.

    Args:
        leader: Who leads now, or None.

    Raises:
        LookupError: Nobody leads, so there is no leader and no standby to name.
    """
    agents = agents_of(spec)
    match target:
        case "leader" | "standby" if leader is None:
            raise LookupError("nobody leads")
        case "leader":
            assert leader is not None
            return [leader]
        case "standby":
            return [chance.choice([name for name in leaders(spec) if name != leader])]
        case "any-agent":
            return [chance.choice(agents)]
        case "all-agents":
            return agents
        case "minority":
            return sorted(chance.sample(agents, (spec.agents - 1) // 2))
        case _:
            return [target]
