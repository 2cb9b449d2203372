"""What the log of votes holds in the end, as facts of the history, so that it can be replayed."""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING, Any

from squall.bus import log as bus_log
from squall.bus.border import printable
from squall.bus.codec import decode
from squall.bus.vote_messages import EpochRecord, Propose
from squall.bus.vote_subjects import VoteSubjects
from squall.services.patterns import reading
from squall.services.rules.vote_records import entry
from squall.services.rules.voting import Closed, Decided, Epoch, Proposed, Record, Tasked, Trimmed, Voted

if TYPE_CHECKING:
    from squall.services.node.history import History
    from squall.services.run.swarm import Swarm


async def read_back(swarm: Swarm, history: History) -> None:
    """Write every record of the log into the history, in order, and how far the queue has come."""
    votes = VoteSubjects(swarm.swarm)
    log = await reading.state_of(swarm, "LOG")
    reader = bus_log.read(swarm.observer, votes.stream, votes.everything, until=int(log["last_seq"]))
    decisions = 0
    async with contextlib.aclosing(reader) as records:
        async for stored in records:
            record = entry(votes, stored.subject, stored.data).record
            decisions += isinstance(record, Decided)
            facts = _facts(record, stored.data)
            if facts is None:
                subject = printable(stored.subject)
                history("final", "fail", what="unreadable", seq=stored.sequence, subject=subject)
            else:
                history("final", "ok", seq=stored.sequence, time_s_stored=stored.stored_s, **facts)
    await reading.queue(swarm, history, dispatched=decisions)


def _facts(record: Record, data: bytes) -> dict[str, Any] | None:
    match record:
        case Epoch():
            said = decode(data, EpochRecord)  # as it stands there, so that nothing is taken from our rules
            members = [{"name": m.name, "key": m.key, "weight": m.weight} for m in said.members]
            return {"what": "epoch", "epoch": said.epoch, "members": members, "rule": said.rule}
        case Trimmed():
            return {"what": "trimmed", "below": record.below}
        case Tasked():
            return {"what": "tasked", "task": record.task, "key": record.key}
        case Proposed(content=Propose() as said):
            return {
                "what": "proposal",
                "agent": record.peer,
                "task": record.task,
                "attempt": record.attempt,
                "effects": said.effects,
                "dead": said.dead,
                "reason": said.reason,
            }
        case Voted():
            return {
                "what": "vote",
                "agent": record.peer,
                "task": record.task,
                "attempt": record.attempt,
                "epoch": record.epoch,
                "proposal": record.proposal,
                "verdict": record.verdict,
                "signature": base64.b64encode(record.signature).decode(),
            }
        case Closed():
            return {
                "what": "close",
                "agent": record.peer,
                "task": record.task,
                "attempt": record.attempt,
                "proposal": record.proposal,
            }
        case Decided():
            return {
                "what": "decision",
                "agent": record.peer,
                "key": record.key,
                "task": record.task,
                "attempt": record.attempt,
                "outcome": record.outcome,
                "epoch": record.epoch,
                "proposal": record.proposal,
                "at": record.at,
            }
        case _:
            return None
