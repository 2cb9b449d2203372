"""What the log of a hub holds in the end, as facts of the history, so that it can be replayed."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from squall.bus import log as bus_log
from squall.bus.border import printable
from squall.bus.codec import decode
from squall.bus.errors import DecodeError
from squall.bus.messages import RunTask, TaskResult, TermClaimed
from squall.bus.pull import Delivery
from squall.bus.subjects import ANY, last_token, matches
from squall.services.patterns import reading

if TYPE_CHECKING:
    from squall.services.node.history import History
    from squall.services.run.swarm import Swarm


async def read_back(swarm: Swarm, history: History) -> None:
    """Write terms, gifts, requests and decisions into the history, in the order of the hub's log."""
    subjects = swarm.swarm
    seat = subjects.hub_seat
    through = int((await reading.state_of(swarm, "HUB"))["last_seq"])
    log = bus_log.read(swarm.observer, seat.stream, subjects.hub, until=through)
    async with contextlib.aclosing(log) as records:
        async for record in records:
            if record.subject == seat.term:
                claimed = decode(record.data, TermClaimed)
                history("final", "ok", what="term", seq=record.sequence, holder=claimed.holder)
            elif matches(subjects.request(ANY, ANY), record.subject):
                _tell_request(record, history)
            elif matches(subjects.decision(ANY), record.subject):
                _tell_decision(record, history)
            elif matches(subjects.gifts, record.subject):
                _tell_gift(record, history)


def _tell_gift(record: Delivery, history: History) -> None:
    given = decode(record.data, RunTask)
    history(
        "final",
        "ok",
        what="gift",
        seq=record.sequence,
        task=given.task,
        to=given.addressed.to,
        term=given.term,
    )


def _tell_request(record: Delivery, history: History) -> None:
    agent, task = record.subject.split(".")[-2:]
    facts: dict[str, Any] = {"what": "request", "seq": record.sequence, "agent": agent, "task": task}
    try:
        asked = decode(record.data, TaskResult)
    except DecodeError as error:
        history("final", "fail", **facts, reason=printable(str(error)))
        return
    history(
        "final",
        "ok",
        **facts,
        status=asked.status,
        effects=asked.effects,
        reduce_only=asked.reduce_only,
        attempt=asked.attempt,
        reason=asked.reason,
        time_s_stored=record.stored_s,
    )


def _tell_decision(record: Delivery, history: History) -> None:
    made = decode(record.data, TaskResult)
    history(
        "final",
        "ok",
        what="decision",
        seq=record.sequence,
        task=last_token(record.subject),
        request=made.request,
        term=made.term,
        agent=made.agent,
        status=made.status,
        effects=made.effects,
        reduces=made.reduces,
        denied=made.denied,
        reason=made.reason,
        time_s_stored=record.stored_s,
    )
