"""What a known-bad variant is: what it does wrong, under which fault it shows, which check must see it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from squall.chaos.plan.schedule import Interval

SLOW_GATEWAY = (Interval(fault="latency", target="gateway", at_s=0.2, for_s=1.0),)
"""A fault that every good harness puts in force, sees, and takes back."""

LATE = (Interval(fault="latency", target="gateway", at_s=10.0, for_s=0.5),)
"""A fault that hurts nobody, after some time of undisturbed load."""


@contextlib.contextmanager
def nothing(run: Path) -> Iterator[Mapping[str, Any]]:
    """Nothing is needed beside the swarm."""
    yield {}


@dataclass(frozen=True)
class Mutant:
    """One known-bad variant.

    Attributes:
        what: In one line, what it does wrong.
        checks: Ids of the checks one of which must fail; none for a variant of the harness, under which
            nothing may pass.
        intervals: The fault under which it shows.
        module: What the nodes preload, or empty.
        setting: How the swarm is set up for it; the good variant is as well.
        spec: How the swarm differs because of the mutation; the good variant does not.
        staged: What is switched in the harness's own process.
        beside: Starts what the swarm needs beside it, given the run's directory; fields of the spec for that.
        errors: How the harness may end the run itself, which counts as caught.
    """

    name: str
    what: str
    checks: tuple[str, ...]
    intervals: tuple[Interval, ...] = ()
    module: str = ""
    setting: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)
    staged: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    beside: Callable[[Path], AbstractContextManager[Mapping[str, Any]]] = nothing
    errors: tuple[type[Exception], ...] = ()

    @property
    def fault(self) -> str:
        """The fault, in words."""
        if not self.intervals:
            return "none"
        interval = self.intervals[0]
        return f"{interval.fault} of {interval.target}" + (f" at {interval.point}" if interval.point else "")


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """The known-bad variants of one pattern's services.

    Attributes:
        pattern: Whose checks must catch them.
    """

    pattern: str
    mutants: Sequence[Mutant]


def twice(fault: str, target: str, for_s: float = 0.0, **more: Any) -> tuple[Interval, ...]:
    """The same fault at two moments."""
    return tuple(
        Interval(fault=fault, target=target, at_s=at_s, for_s=for_s, **more) for at_s in (0.2, for_s + 2.0)
    )
