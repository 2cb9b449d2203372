"""Port: what every kind of sink is to the gateway that has effects carried out.

Sending ─► kind ─► Opener ─► Make ─► Carrier ──deliver──► told of, or left behind
 (spec)   (kinds.py)  found, and nothing   └── one effect at a time: `each.py`, of a Sink
                      is open yet          └── batches: `forwarding.py`, of the venue
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

from squall.services.node.venue_door import Door
from squall.services.rules.sinks import Outcome


@dataclass(frozen=True, kw_only=True)
class Sending:
    """A sink as a spec names it.

    Attributes:
        name: As ``effects`` has it.
        headers: By header, the name of the variable that holds its value.
        server: Where the broker of a stream answers.
        credentials: The name of the variable that names a credentials file for it.
        journal: Where the sink's own journal can be read; empty if it keeps none.
        together: How many requests may be on their way at a time.
        batch: How many effects one request may have.
        templates: By header, what it is made of; see `rules.header_templates`.
    """

    name: str
    headers: Mapping[str, str]
    server: str
    credentials: str
    journal: str
    together: int
    batch: int = 1
    templates: Mapping[str, str] = field(default_factory=dict)


@dataclass(eq=False, slots=True)
class Register:
    """A task's register on its way through the gateway.

    Attributes:
        task: Whose it is, by its subject.
        sequence: Its place in its stream.
        open: Its effects of which it is not known what became of them.
    """

    task: str
    sequence: int
    open: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class Effect:
    """One effect of a register; its order id is its key."""

    register: Register
    order_id: str
    body: bytes


class Carrier(Protocol):
    """Has effects carried out."""

    async def deliver(self, registers: Sequence[tuple[Register, Sequence[tuple[str, bytes]]]]) -> bool:
        """Have effects carried out; returns when each is told of or left behind, and whether they are.

        Args:
            registers: Each with the ids and bodies of its effects. Its ``open`` is 0 once all are told of.
        """
        ...

    def recall(self) -> set[Register]:
        """Take back what waits to be sent again; returns whose effects these are."""
        ...

    async def run(self) -> None:
        """Go on with what was left behind, for ever."""
        ...


@dataclass(frozen=True, kw_only=True)
class Ties:
    """What a carrier tells, and asks.

    Attributes:
        record: Writes a line of the history.
        counters: Counts what happened.
        settled: Called with a register that was left behind, once all its effects are told of.
        keeps_back: Whether effects are kept back just now, so that nothing is to be sent again.
        in_order: Whether none may be carried out before those that were handed over before it.
    """

    record: Callable[..., None]
    counters: Counter[str]
    settled: Callable[[Register], Awaitable[None]]
    keeps_back: Callable[[], bool] = lambda: False
    in_order: bool = False


Make = Callable[[Ties], Carrier]


@dataclass(frozen=True, kw_only=True)
class Way:
    """What a gateway has for the sink that it opens.

    Attributes:
        node: The gateway's name.
        door: Opens the way to the venue.
    """

    node: str
    door: Callable[[], AbstractAsyncContextManager[Door]]


Opener = Callable[[Way], AbstractAsyncContextManager[Make]]


class Sink(Protocol):
    """A sink that takes one effect at a time."""

    async def send(self, key: str, body: bytes) -> Outcome:
        """Have one effect carried out, whose body is one JSON value. Raises when cancelled, and only then."""
        ...


class BatchSink(Protocol):
    """A sink that takes several effects at a time."""

    async def send_all(self, effects: Sequence[Effect]) -> Sequence[Outcome]:
        """Have effects carried out; what became of each, in their order. Raises as `Sink.send` does."""
        ...
