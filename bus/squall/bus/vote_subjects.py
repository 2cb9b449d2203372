"""The subjects of equal peers: a log on which they vote, its feed, and the links between them.

    log.task.<key>.<task>                 what there is to decide; sourced from in.<class>.<key>.<task>
    log.cfg                               who votes from here on, and by which rule: an epoch
    log.trim                              what stands before a place is over, and forgotten
    log.prop.<peer>.<task>.<n>            a proposal; n is the attempt, from 1
    log.vote.<peer>.<task>.<n>            a vote on it
    log.close.<peer>.<task>.<n>           its time is over
    log.dec.<peer>.<key>.<task>.<n>       what a peer saw decided; the first one counts
    feed.…                                every record of the log once more, as the broker stores it
    wk.<lane>.task.<key>.<task>           the work queue, sourced from log.dec
    link.<from>.<to>.<verb>               what one peer says to another, who hears it as told.…

Whose word a record is, its subject says: the rights of a peer hold it to its own name there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from squall.bus.border import is_name
from squall.bus.subjects import ANY, LANES, REST, Subjects

Kind = Literal["task", "cfg", "trim", "prop", "vote", "close", "dec"]

PLANE = "LOG"
"""The plane of the stream of the log."""

LINKS = "LINK"
"""The plane of the stream that links go through, which keeps nothing."""

FEED = "FEED"
"""The plane that stands for the feed in links; no stream has it."""

ATTEMPT_DIGITS_MAX = 4


class Written(msgspec.Struct, frozen=True):
    """What the subject of a record says; what does not apply is empty, or 0.

    Attributes:
        kind: What it is.
        peer: Who wrote it.
        key: What the task belongs to; of a task and of a decision.
        task: Which task it is about.
        attempt: Which attempt of it, from 1.
    """

    kind: Kind
    peer: str = ""
    key: str = ""
    task: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class VoteSubjects:
    """The subjects of one swarm of peers, beside those that every swarm has.

    Names may be wildcards or stand for the ends of links, except where a method says so.

    Raises:
        InvalidNameError: A token given to a method cannot be one of a subject.
    """

    swarm: Subjects

    # The log.

    @property
    def stream(self) -> str:
        """The stream of the log."""
        return self.swarm.stream(PLANE)

    @property
    def everything(self) -> str:
        return self.swarm.at("log", REST)

    @property
    def epochs(self) -> str:
        """Where epochs are written: one subject, of which the newest record is in force."""
        return self.swarm.at("log", "cfg")

    @property
    def trimmed(self) -> str:
        """Where it is written what is over."""
        return self.swarm.at("log", "trim")

    @property
    def removable(self) -> tuple[str, ...]:
        """What may be removed from the log: all but the epochs."""
        return (
            self.task(ANY, ANY),
            self.trimmed,
            self.proposal(ANY, ANY, ANY),
            self.vote(ANY, ANY, ANY),
            self.closing(ANY, ANY, ANY),
            self.decision(ANY, ANY, ANY, ANY),
        )

    def task(self, key: str, task: str) -> str:
        return self.swarm.at("log", "task", key, task)

    def proposal(self, peer: str, task: str, attempt: int | str) -> str:
        return self.swarm.at("log", "prop", peer, task, str(attempt))

    def vote(self, peer: str, task: str, attempt: int | str) -> str:
        return self.swarm.at("log", "vote", peer, task, str(attempt))

    def closing(self, peer: str, task: str, attempt: int | str) -> str:
        return self.swarm.at("log", "close", peer, task, str(attempt))

    def decision(self, peer: str, key: str, task: str, attempt: int | str) -> str:
        return self.swarm.at("log", "dec", peer, key, task, str(attempt))

    def read(self, subject: str) -> Written | None:
        """What a subject of the log says; None if it is none of its own."""
        root = self.swarm.at("log") + "."
        if not subject.startswith(root):
            return None
        match subject[len(root) :].split("."):
            case ["cfg" | "trim" as kind]:
                return Written(kind)
            case ["task", key, task] if is_name(key) and is_name(task):
                return Written("task", key=key, task=task)
            case ["prop" | "vote" | "close" as kind, peer, task, attempt] if _is_attempt(attempt):
                return Written(kind, peer=peer, task=task, attempt=int(attempt))
            case ["dec", peer, key, task, attempt] if _is_attempt(attempt):
                return Written("dec", peer=peer, key=key, task=task, attempt=int(attempt))
            case _:
                return None

    # What the broker copies.

    @property
    def task_transform(self) -> tuple[str, str]:
        """Source and destination of the transform that feeds the log from the ingress."""
        submitted = self.swarm.submissions_in(ANY)
        return submitted, self.swarm.at("log", "task", "{{wildcard(2)}}", "{{wildcard(3)}}")

    @property
    def work_transform(self) -> tuple[str, str]:
        """Source and destination of the transform that feeds the work queue from the decisions."""
        lane = f"{{{{partition({LANES},2)}}}}"
        decided = self.decision(ANY, ANY, ANY, ANY)
        return decided, self.swarm.at("wk", lane, "task", "{{wildcard(2)}}", "{{wildcard(3)}}")

    # The feed.

    @property
    def feed(self) -> str:
        """All that the broker says again as it stores it."""
        return self.swarm.at("feed", REST)

    @property
    def republished(self) -> tuple[str, str]:
        """What of the log is said again, and where."""
        return self.everything, self.feed

    def fed(self, subject: str) -> str:
        """Where a record of the log is said again."""
        root, feed = self.swarm.at("log"), self.swarm.at("feed")
        if not subject.startswith(root + "."):
            raise ValueError(f"{subject} is no subject of the log")
        return feed + subject[len(root) :]

    # Links.

    def link(self, source: str, target: str, verb: str) -> str:
        """What one peer says to another."""
        return self.swarm.at("link", source, target, verb)

    def told(self, source: str, target: str, verb: str) -> str:
        """The same, as the other hears it: the broker says it again.

        Isolated nodes do not reach each other through a third account without that: nats-server drops what
        came in as a service where it would go out as a stream (nats-server #8338).
        """
        return self.swarm.at("told", source, target, verb)

    @property
    def retold(self) -> tuple[str, str]:
        """What is said on links, and what the broker makes of it."""
        return self.swarm.at("link", REST), self.swarm.at("told", REST)


def _is_attempt(token: str) -> bool:
    """Whether a token is a whole number from 1, in the one way of writing it."""
    return token.isdecimal() and token.isascii() and token[0] != "0" and len(token) <= ATTEMPT_DIGITS_MAX
