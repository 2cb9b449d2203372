"""Every subject, stream name and consumer name of a swarm.

The only file, with `vote_subjects.py`, that writes dots and wildcards. Subjects go from general to
particular and begin with ``sw.<swarm>``, so that swarms can share a broker:

    in.task.<key>                    what producers submit; stored here = accepted
    in.close.<job>                   no more tasks will come for this job
    job.term  job.lease  job.state   who leads, until when, and what it knew
    job.<job>.open|done              a job's life
    job.<job>.<to>.<key>.<task>      dispatched, fenced by the term: to a worker, or to ``task``, the pool
    job.<job>.dead.<task>            dead letter, derived from the register
    wk.<lane>.<to>.<key>.<task>      the work queue, sourced from those
    res.<lane>.<task>                a task's register
    dlq.<job>.<task>                 dead letters, sourced from job.*.dead
    hb.<role>.<node>                 heartbeats
    cmd.<node>.<verb>                commands; answers on rep.<node>.<token>

for equal peers that vote, see `vote_subjects.py`, and for a hub and its spokes:

    in.<class>.<key>.<task>          what producers submit, by class
    wk.<lane>.<class>.<key>.<task>   the work queue, sourced from in.<class>
    hub.term  hub.lease  hub.snap    who leads, until when, and what it knew
    hub.req.<spoke>.<task>           what a spoke asks for, the register of its work; sourced to the hub
    hub.dec.<task>                   what the hub decided, fenced by the term
    hub.give.<class>.<to>.<key>.<task>   given to a spoke by name, where hubs do that; fenced by the term,
                                     and sourced to wk.<lane>.<to>.<key>.<task> instead of in.<class>
    hub.dead.<task>                  dead letter, sourced to dlq.hub.<task>
    res.<lane>.<task>                a task's register, sourced from hub.dec

A name reaches permission templates and subjects unescaped, so `border.check_name`
is a security boundary: every method here calls it on every name that it is given.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

import msgspec

from squall.bus.border import check_name

LANES = 100
"""Lanes a work queue is cut into; a key always falls into the same one."""

SHARED = "task"
"""To whom a task is given that anybody may pull; no node is called so."""

ANY = "*"
"""Stands for one token, in permissions."""

ME = "{{name()}}"
"""Stands for a node's own name in the permissions of its role; the broker fills it in."""

SOURCE, TARGET = "{source}", "{target}"
"""Stand for the names of the two ends of a link."""


_FUNCTION = re.compile(r"\{\{(wildcard|partition)\([0-9,]+\)\}\}|>")
"""What the broker fills in where it copies, and the wildcard for all that follows."""


def _token(token: str) -> str:
    """A name, or what stands for one in permissions and links."""
    return token if token in (ANY, ME, SOURCE, TARGET) else check_name(token, "token of a subject")


class Seat(msgspec.Struct, frozen=True):
    """Where a leadership is kept: a stream, its two subjects, and that of the leader's snapshots."""

    stream: str
    term: str
    lease: str
    snapshot: str


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects of one swarm.

    Raises:
        InvalidNameError: The swarm's name, or a token given to a method that takes names from outside.
    """

    swarm: str

    def __post_init__(self) -> None:
        check_name(self.swarm, "swarm name")

    def _at(self, *tokens: str) -> str:
        return ".".join(("sw", self.swarm, *tokens))

    def at(self, *tokens: str) -> str:
        """A subject of a pattern's own: what follows the swarm's name.

        Args:
            tokens: Names, wildcards, what stands for the ends of links, or a transform's functions.

        Raises:
            InvalidNameError: A token is none of these.
        """
        return self._at(*(token if _FUNCTION.fullmatch(token) else _token(token) for token in tokens))

    # Streams. Upper case as is the custom; unambiguous because names are lower case.

    def stream(self, plane: str) -> str:
        """The name of the stream behind a plane, for instance ``IN``, ``WK``, ``TRY``, ``RES`` or ``DLQ``."""
        return f"{self.swarm.upper()}_{plane}"

    # Leaders.

    def seat(self, plane: str, *, snapshot: str = "snap") -> Seat:
        """The seat of the leader that writes a plane's stream."""
        check_name(plane, "plane")
        at = functools.partial(self._at, plane)
        return Seat(self.stream(plane.upper()), at("term"), at("lease"), at(check_name(snapshot)))

    @property
    def coordinator_seat(self) -> Seat:
        return self.seat("job", snapshot="state")

    @property
    def hub_seat(self) -> Seat:
        return self.seat("hub")

    # Ingress.

    @property
    def ingress(self) -> str:
        return self._at("in", ">")

    def submit(self, key: str) -> str:
        return self._at("in", "task", check_name(key, "key"))

    def close(self, job: str) -> str:
        return self._at("in", "close", check_name(job, "job"))

    def is_close(self, subject: str) -> bool:
        return matches(self.closes, subject)

    # The coordinator's stream.

    @property
    def jobs(self) -> str:
        return self._at("job", ">")

    def job_opened(self, job: str) -> str:
        return self._at("job", check_name(job, "job"), "open")

    def job_done(self, job: str) -> str:
        return self._at("job", check_name(job, "job"), "done")

    def dispatch(self, job: str, key: str, task: str, to: str = "") -> str:
        """Where a task is given out.

        Args:
            to: The worker that it is given to, or a wildcard; whoever pulls from the pool, if empty.
        """
        names = check_name(job, "job"), check_name(key, "key"), check_name(task, "task")
        return self._at("job", names[0], _token(to or SHARED), *names[1:])

    @property
    def dispatches(self) -> str:
        return self._at("job", "*", "*", "*", "*")

    def dead(self, job: str, task: str) -> str:
        return self._at("job", check_name(job, "job"), "dead", check_name(task, "task"))

    @property
    def deads(self) -> str:
        return self._at("job", "*", "dead", "*")

    # The work queue and the registers.

    @property
    def work(self) -> str:
        return self._at("wk", ">")

    def queued(self, lane: str, key: str, task: str, to: str = "") -> str:
        """Where a task waits for the worker that it is given to, or in the pool; any may be a wildcard."""
        return self.queued_in(to or SHARED, lane, key, task)

    @property
    def work_transform(self) -> tuple[str, str]:
        """Source and destination of the transform that feeds the work queue from the jobs."""
        return self.dispatches, self._to_whom()

    def _to_whom(self) -> str:
        """Where a dispatch is copied to, which names what it is part of, to whom, key and task."""
        return self._at(
            "wk", f"{{{{partition({LANES},3)}}}}", "{{wildcard(2)}}", "{{wildcard(3)}}", "{{wildcard(4)}}"
        )

    @property
    def dead_letter_transform(self) -> tuple[str, str]:
        """Source and destination of the transform that feeds the dead letters from the jobs."""
        return self.deads, self._at("dlq", "{{wildcard(1)}}", "{{wildcard(2)}}")

    @property
    def registers(self) -> str:
        return self._at("res", "*", "*")

    def register(self, lane: str, task: str) -> str:
        return self._at("res", _token(lane), check_name(task, "task"))

    @property
    def tries(self) -> str:
        return self.tries_of(ANY)

    def tries_of(self, queue: str) -> str:
        """The marks of a queue's tasks, by the name of its consumer: who pulls from it writes them."""
        return self._at("try", _token(queue), "*", "*")

    def tried(self, queue: str, lane: str, task: str) -> str:
        """Where the attempts of a task of a queue are counted."""
        return self._at("try", check_name(queue, "queue"), _token(lane), check_name(task, "task"))

    @property
    def dead_letters(self) -> str:
        return self._at("dlq", "*", "*")

    def dead_letter(self, job: str, task: str) -> str:
        """Where the broker copies a task's dead letter to."""
        return self._at("dlq", check_name(job, "job"), check_name(task, "task"))

    def is_dispatch(self, subject: str) -> bool:
        return matches(self.dispatches, subject)

    # A hub and its spokes. A task has a class, and a class one spoke.

    def submit_in(self, kind: str, key: str, task: str) -> str:
        """Where a task of a class is submitted."""
        return self._at("in", *self._classed(kind, key, task))

    def submissions_in(self, kind: str) -> str:
        """All submissions of a class; ``kind`` may be a wildcard."""
        return self._at("in", _token(kind), "*", "*")

    def queued_in(self, kind: str, lane: str, key: str, task: str) -> str:
        """Where a task of a class waits for its spoke; any of the tokens may be a wildcard."""
        return self._at("wk", _token(lane), _token(kind), _token(key), _token(task))

    @property
    def class_transform(self) -> tuple[str, str]:
        """Source and destination of the transform that feeds the work queue from the ingress."""
        rest = ("{{wildcard(1)}}", "{{wildcard(2)}}", "{{wildcard(3)}}")
        return self.submissions_in(ANY), self._at("wk", f"{{{{partition({LANES},2)}}}}", *rest)

    @property
    def hub(self) -> str:
        """All of the hub's stream."""
        return self._at("hub", ">")

    def request(self, spoke: str, task: str) -> str:
        """What a spoke asks of the hub; either token may be a wildcard."""
        return self._at("hub", "req", _token(spoke), _token(task))

    def decision(self, task: str) -> str:
        """What the hub decided of a task; ``task`` may be a wildcard."""
        return self._at("hub", "dec", _token(task))

    def gift(self, kind: str, key: str, task: str, to: str) -> str:
        """Where a hub gives a task of a class to a spoke; any of the tokens may be a wildcard."""
        return self._at("hub", "give", _token(kind), _token(to), _token(key), _token(task))

    @property
    def gifts(self) -> str:
        return self.gift(ANY, ANY, ANY, ANY)

    @property
    def gift_transform(self) -> tuple[str, str]:
        """Source and destination of the transform that feeds the work queue from what a hub gives out."""
        return self.gifts, self._to_whom()

    def hub_dead(self, task: str) -> str:
        """A dead letter in the hub's stream; ``task`` may be a wildcard."""
        return self._at("hub", "dead", _token(task))

    @property
    def request_transform(self) -> tuple[str, str]:
        """Source and destination of the transform that feeds the hub's log from what spokes wrote."""
        return self.request(ANY, ANY), self._at("hub", "req", "{{wildcard(1)}}", "{{wildcard(2)}}")

    @property
    def decision_transform(self) -> tuple[str, str]:
        """Source and destination of the transform that feeds the registers from the decisions.

        The lane is the task's, since that is all a decision's subject names.
        """
        return self.decision(ANY), self._at("res", f"{{{{partition({LANES},1)}}}}", "{{wildcard(1)}}")

    @property
    def hub_dead_letter_transform(self) -> tuple[str, str]:
        """Source and destination of the transform that feeds the dead letters from the hub's stream."""
        return self.hub_dead(ANY), self._at("dlq", "hub", "{{wildcard(1)}}")

    @staticmethod
    def _classed(kind: str, key: str, task: str) -> tuple[str, str, str]:
        return check_name(kind, "class"), check_name(key, "key"), check_name(task, "task")

    # Core NATS: what may be lost.

    def heartbeat(self, role: str, node: str) -> str:
        return self._at("hb", _token(role), _token(node))

    @property
    def heartbeats(self) -> str:
        return self._at("hb", "*", "*")

    def command(self, node: str, verb: str) -> str:
        return self._at("cmd", _token(node), _token(verb))

    def reply(self, node: str, token: str) -> str:
        return self._at("rep", _token(node), _token(token))

    # Whole planes, for permissions.

    @property
    def submissions(self) -> str:
        return self._at("in", "task", "*")

    @property
    def closes(self) -> str:
        return self._at("in", "close", "*")

    @property
    def commands(self) -> str:
        return self._at("cmd", "*", "*")

    @property
    def replies(self) -> str:
        return self._at("rep", "*", "*")


@functools.lru_cache(maxsize=4096)
def lane_for(key: str) -> str:
    """The lane of a key, as the broker's ``partition`` computes it from one token: FNV-1a, 32 bits."""
    hashed = 0x811C9DC5
    for byte in key.encode():
        hashed = (hashed ^ byte) * 0x01000193 & 0xFFFFFFFF
    return str(hashed % LANES)


def lane_of(subject: str) -> str:
    """The lane token of a work or register subject."""
    return subject.split(".", 4)[3]


def lap_of(subject: str) -> int:
    """The lap of a task or register of closed stages, which stands before its task; 0 if none does."""
    lap = subject.rsplit(".", 2)[1]
    return int(lap) if lap.isdecimal() else 0


def last_token(subject: str) -> str:
    """The last token: the task of a work, register or dispatch subject, the verb of a command."""
    return subject.rsplit(".", 1)[1]


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject falls under a pattern with ``*`` and ``>``."""
    return pattern == subject or _expression(pattern).fullmatch(subject) is not None


@functools.lru_cache(maxsize=4096)
def _expression(pattern: str) -> re.Pattern[str]:
    """What the subjects look like that fall under a pattern."""
    *before, last = pattern.split(".")
    words = ["[^.]*" if token == "*" else re.escape(token) for token in (*before, last)]
    if last == ">":
        words[-1] = ".*"
    return re.compile(r"\.".join(words), re.DOTALL)


def overlap(first: str, second: str) -> str | None:
    """The pattern of what falls under both patterns; None if nothing does."""
    one, two = first.split("."), second.split(".")
    both: list[str] = []
    for place in range(max(len(one), len(two))):
        a = one[place] if place < len(one) else ""
        b = two[place] if place < len(two) else ""
        if "" in (a, b):
            return None
        if a == ">":
            return ".".join([*both, *two[place:]])
        if b == ">":
            return ".".join([*both, *one[place:]])
        if a != b and "*" not in (a, b):
            return None
        both.append(b if a == "*" else a)
    return ".".join(both)


# JetStream's own subjects.


def next_message(stream: str, consumer: str) -> str:
    return f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"


def acks(stream: str, consumer: str) -> str:
    """Prefix of every acknowledgement subject of one consumer, with the closing dot."""
    return f"$JS.ACK.{stream}.{consumer}."


def newest(stream: str, subject: str) -> str:
    """Asks for the newest message on a subject, which is part of the request's and so of the permission."""
    return f"$JS.API.DIRECT.GET.{stream}.{subject}"


def fetch(stream: str) -> str:
    """Asks for records by their places; what is asked for is in the request, and all of the stream may be."""
    return f"$JS.API.DIRECT.GET.{stream}"


def is_fetch(subject: str) -> bool:
    """Whether a subject is that of `fetch`, for whatever stream."""
    return matches(fetch(ANY), subject)


def api(*tokens: str) -> str:
    return ".".join(("$JS", "API", *tokens))


def inbox(node: str, nonce: str) -> str:
    """The prefix of a node's private inbox; the nonce makes it unguessable."""
    return f"_INBOX.{node}.{nonce}"


REQUEST_INFO = "Nats-Request-Info"
"""Header in which the broker names the account that a message came from through an import; it replaces one
that the sender wrote."""


# Wildcards and names for permissions.


REST = ">"
"""Stands for all that follows, at least one token."""

POOL = "pool"
"""The consumer of the work queue that all agents of a pool pull from."""

GATEWAY = "gateway"
"""The gateway's consumer of the registers."""


def every_ack(stream: str, consumer: str) -> str:
    """All acknowledgements of one consumer."""
    return acks(stream, consumer) + ">"


def every_inbox(node: str) -> str:
    """All inboxes of one node, whatever their nonces."""
    return f"_INBOX.{node}.>"
