"""What a client may publish and hear, and which account it is in."""

from __future__ import annotations

from dataclasses import dataclass

from squall.bus.topology.model import Topology
from squall.bus.topology.rights import Import, Permissions
from squall.chaos.model.subjects import Matches, covers, matcher


@dataclass(frozen=True, slots=True)
class Rights:
    """Of one client.

    Attributes:
        permissions: What it may do; None is anything.
        account: The account it is in; empty is CORE, which has JetStream.
        imports: What an account that is not CORE takes of it. All else there reaches nobody outside.
    """

    permissions: Permissions | None = None
    account: str = ""
    imports: tuple[Import, ...] = ()


def rights_of(topology: Topology, node: str) -> Rights:
    """What a topology gives a node."""
    isolated = topology.node(node).isolated
    return Rights(
        topology.permissions[node],
        account=node if isolated else "",
        imports=topology.imports[node] if isolated else (),
    )


class Gate:
    """The rights of a client, ready to be asked.

    Attributes:
        may_publish: Whether it may publish to a subject.
        leaves: Whether a message to a subject gets from its account into CORE.
        heard: What of CORE its account hears, as patterns.
    """

    __slots__ = ("_subscribe", "heard", "leaves", "may_publish")

    def __init__(self, rights: Rights) -> None:
        granted = rights.permissions
        self.may_publish: Matches = _any_of(granted.publish) if granted else matcher()
        self._subscribe = granted.subscribe if granted else None
        services = tuple(each.subject for each in rights.imports if each.kind == "service")
        self.leaves: Matches = _any_of(services)
        self.heard = tuple(each.subject for each in rights.imports if each.kind == "stream")

    def may_subscribe(self, pattern: str) -> bool:
        return self._subscribe is None or any(covers(wide, pattern) for wide in self._subscribe)


def _any_of(patterns: tuple[str, ...]) -> Matches:
    return matcher(*patterns) if patterns else frozenset[str]().__contains__
