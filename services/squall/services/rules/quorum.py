"""How many votes it takes, and when a vote is over. Pure.

    rule, members of an epoch ──► a threshold, in weight
    verdicts so far ──► approve, where yes has reached it
                    ├─► reject, where yes can reach it no more
                    └─► nothing yet

What counts is the configured members of one epoch, never who seems to be alive.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from squall.bus.vote_messages import Rule, Verdict

RULES: tuple[Rule, ...] = get_args(Rule)
"""
``majority``: more than half of the members. ``two-thirds``: more than two thirds. ``all``: each of them.
``weighted``: members that have more than half of all weight between them.
"""

Outcome = Literal["approve", "reject"]


@dataclass(frozen=True, slots=True)
class Quorum:
    """The rule of one epoch, and what each member's vote counts under it.

    Attributes:
        weights: What the vote of each member counts.
        needed: How much of it must say yes.
    """

    weights: Mapping[str, int]
    needed: int

    @classmethod
    def of(cls, rule: Rule, weights: Mapping[str, int]) -> Quorum:
        """The quorum of some members.

        Args:
            weights: What the vote of each member counts where votes are weighted; at least 1.

        Raises:
            ValueError: There are no members, or one has no weight.
        """
        if not weights or min(weights.values()) < 1:
            raise ValueError("a quorum needs members, each of a weight of at least 1")
        counted = dict(weights) if rule == "weighted" else dict.fromkeys(weights, 1)
        return cls(counted, _needed(rule, sum(counted.values())))

    def outcome(self, verdicts: Mapping[str, Verdict]) -> Outcome | None:
        """What some verdicts of members come to; None while more of them are needed.

        An abstention is as a no to the count: that member will not say yes any more.
        """
        yes = sum(self.weights[member] for member, verdict in verdicts.items() if verdict == "yes")
        if yes >= self.needed:
            return "approve"
        silent = sum(weight for member, weight in self.weights.items() if member not in verdicts)
        return "reject" if yes + silent < self.needed else None

    def spared(self) -> int:
        """How many members may be away, whichever these are, and still all others can approve."""
        left, away = sum(self.weights.values()), 0
        for weight in sorted(self.weights.values(), reverse=True):
            left -= weight
            if left < self.needed:
                break
            away += 1
        return away


def _needed(rule: Rule, total: int) -> int:
    match rule:
        case "two-thirds":
            return 2 * total // 3 + 1
        case "all":
            return total
        case _:
            return total // 2 + 1
