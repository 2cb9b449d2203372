"""What is told on of others: each rumour a few times, on messages that are sent anyway. Pure.

So that a rumour reaches all, each that hears it tells it on as often as the logarithm of their number asks
for; what was told the least goes first.

Source: SWIM (Das, Gupta, Motivala, 2002), section 4.1.
"""

from __future__ import annotations

import math

from squall.bus.vote_messages import GOSSIP_MAX, Condition, Rumour

RETELL = 3
"""How often a rumour is told on by each, times the logarithm of the number of peers. Higher reaches all where
more is lost, and fills more messages."""


class Rumours:
    """What one peer has to tell. Of each node the newest rumour only."""

    def __init__(self) -> None:
        self._rumours: dict[str, tuple[Rumour, int]] = {}

    def spread(self, rumour: Rumour) -> None:
        """Tell this from now on, and what was told of its node before no more."""
        self._rumours[rumour.node] = (rumour, 0)

    def told(self, peers: int, first: Rumour | None = None) -> tuple[Rumour, ...]:
        """What to tell with the next message.

        Args:
            peers: How many there are.
            first: What this message must tell, if it must.
        """
        limit = RETELL * math.ceil(math.log2(peers + 1))
        chosen = [first] if first is not None else []
        for node, (rumour, times) in sorted(self._rumours.items(), key=lambda item: item[1][1]):
            if len(chosen) == GOSSIP_MAX:
                break
            if first is None or node != first.node:
                chosen.append(rumour)
            if times + 1 >= limit:
                del self._rumours[node]
            else:
                self._rumours[node] = (rumour, times + 1)
        return tuple(chosen)


def rumour_of(node: str, condition: Condition, incarnation: int, by: str) -> Rumour:
    """What is said of a peer; see `Rumour`."""
    return Rumour(node=node, condition=condition, incarnation=incarnation, by=by)
