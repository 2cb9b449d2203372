"""Operations of the history that belong to a pattern: a struct each, declared beside its checks.

A pattern names its operations in a mapping, by ``op``, and those of the end, which the command reads back, by
``final/<what>``. The reader decodes such a line into the struct; `History.of` gives them in order. A
pattern may also name one that all patterns have, for instance ``commit``. An operation that nobody declares
is counted, and otherwise left to whoever reads the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec

from squall.chaos.evidence.facts import Count, Operation

Operations = Mapping[str, type[Operation]]
"""By ``op``, or ``final/<what>``."""


class Lead(Operation, frozen=True, kw_only=True):
    """A node has taken over: its claim of a term was acknowledged, and what went before it was read."""

    term: int


class Resign(Operation, frozen=True, kw_only=True):
    """A node has given its term up."""

    term: int


class Fenced(Operation, frozen=True, kw_only=True):
    """The broker refused a write under a term that is no longer the newest."""

    term: int


class Leave(Operation, frozen=True, kw_only=True):
    """A node has left the swarm for good, as it was told to."""

    agent: str


class Given(Operation, frozen=True, kw_only=True):
    """A leader gives a task to somebody else, or to one more.

    Attributes:
        frm, to: Who had it and who has it; empty for whoever pulls from the pool.
        why: ``absent``: who had it is not heard. ``stolen``: it waited there, and the other has nothing to
            do. ``hedge``: it takes long, and both have it.
        tried: Whether who had it may have begun it.
    """

    task: str
    frm: str
    to: str
    why: Literal["absent", "stolen", "hedge"]
    tried: bool = False


class Batch(Operation, frozen=True, kw_only=True):
    """Records that a leader stored in its own stream at once: how many, the first at sequence ``first``.

    A term is the sequence of its own record in the same stream, so ``first`` and terms compare.
    """

    term: int
    first: int
    tasks: Count


class Dispatch(Batch, frozen=True, kw_only=True):
    """A batch of dispatches that a leader stored, ``again`` of them of tasks dispatched before."""

    again: Count = 0


LEADING: Operations = {"lead": Lead, "resign": Resign, "fenced": Fenced, "leave": Leave}
"""Of any role that leads; the batches of each have a name of their own."""


def key(op: str, what: str) -> str:
    """What a pattern's operation is found by."""
    return f"{op}/{what}" if op == "final" else op


class Decoders:
    """Decoders of the operations of one pattern."""

    def __init__(self, operations: Operations) -> None:
        self._decoders = {name: (kind, msgspec.json.Decoder(kind)) for name, kind in operations.items()}

    def of(self, op: str, what: str) -> tuple[type[Operation], msgspec.json.Decoder[Operation]] | None:
        """What decodes lines of an operation; None if nobody declares it."""
        return self._decoders.get(key(op, what))
