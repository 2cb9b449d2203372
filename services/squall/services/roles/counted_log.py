"""The log of votes as one node has read it: what it has decided, and what its tasks are.

feed, or a reader of the log ──record by record──► fold ──► what is decided
                                       └─► what does not count ──► counters, and a line of the history
"""

from __future__ import annotations

from collections import Counter
from typing import Protocol

import msgspec

from squall.bus.border import printable
from squall.bus.messages import RunTask
from squall.bus.vote_messages import Propose
from squall.bus.vote_subjects import VoteSubjects
from squall.services.node.service import Service
from squall.services.rules.vote_records import entry, verifier
from squall.services.rules.voting import Fold, Ignored, Place, Proposal, Record, Trimmed

ORDINARY: tuple[Ignored, ...] = ("late", "doubled")
"""Reasons that honest peers give, too: of what several say at a time the first counts."""

TOLD_EACH = 20
"""Records of one reason that have a line of the history each; after those, each that doubles their number."""


class Stored(Protocol):
    """A record as it was read."""

    @property
    def subject(self) -> str: ...

    @property
    def data(self) -> bytes: ...

    @property
    def sequence(self) -> int: ...

    @property
    def stored_s(self) -> float: ...


class CountedLog:
    """What a node has read.

    Args:
        deadline_s: How long after it was stored a proposal may be closed undecided.
        tells: Whether it writes down what does not count.

    Attributes:
        subjects: Of the log.
        fold: What it comes to.
        tasks: What the tasks are, where they could be read; of a settled one without its input.
    """

    def __init__(self, service: Service, *, deadline_s: float, tells: bool = True) -> None:
        self._service = service
        self._tells = tells
        self._told: Counter[str] = Counter()
        self.subjects = VoteSubjects(service.swarm)
        self.fold = Fold(deadline_s=deadline_s, verify=verifier(service.spec.swarm))
        self.tasks: dict[str, RunTask] = {}

    def take(self, stored: Stored) -> Record | None:
        """Take in the next record; None if it does not count."""
        read = entry(self.subjects, stored.subject, stored.data)
        ignored = self.fold.apply(Place(stored.sequence, stored.stored_s), read.record)
        if ignored is not None:
            self._tell(ignored, stored)
            return None
        if read.task is not None:
            self.tasks[read.task.task] = read.task
        if isinstance(read.record, Trimmed):
            self.tasks = {name: task for name, task in self.tasks.items() if name in self.fold.tasks}
        return read.record

    def is_given_up(self, task: str) -> bool:
        """Whether it was proposed that a task is dead."""
        at = self.fold.tasks.get(task)
        return at is not None and any(isinstance(p.content, Propose) and p.content.dead for p in at.proposals)

    def is_final(self, proposal: Proposal) -> bool:
        """Whether its task is settled by a proposal."""
        at = self.fold.tasks.get(proposal.task)
        return at is not None and at.final is proposal

    def settle(self, task: str) -> None:
        """Keep of a settled task no more than is needed."""
        known = self.tasks.get(task)
        if known is not None and known.body:
            self.tasks[task] = msgspec.structs.replace(known, body=b"")

    def _tell(self, ignored: Ignored, stored: Stored) -> None:
        self._service.counters[f"ignored_{ignored.replace('-', '_')}"] += 1
        if not self._tells or ignored in ORDINARY:
            return
        self._told[ignored] += 1
        if self._told[ignored] <= TOLD_EACH or self._told[ignored].bit_count() == 1:
            subject = printable(stored.subject)
            self._service.history("ignored", "fail", reason=ignored, seq=stored.sequence, subject=subject)
