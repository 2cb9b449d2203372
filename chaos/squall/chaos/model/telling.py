"""What the broker tells of streams, consumers and stored messages, as JSON has it."""

from __future__ import annotations

import base64
from typing import Any

from squall.chaos.model import headers as known
from squall.chaos.model.clock import Alarms
from squall.chaos.model.consumers import Consumer
from squall.chaos.model.sources import Source
from squall.chaos.model.stamps import NEVER, rfc3339
from squall.chaos.model.streams import Stored, Stream

SUBJECTS_MAX = 100_000
"""Subjects that are told at a time."""


def stream_info(stream: Stream, alarms: Alarms, subjects_filter: str = "") -> dict[str, Any]:
    """A stream's configuration and state, and how many messages each subject of a pattern has."""
    first = stream.messages.get(stream.first)
    last_ns = stream.last_stamp_ns
    state: dict[str, Any] = {
        "messages": len(stream.messages),
        "bytes": stream.bytes,
        "first_seq": stream.first,
        "first_ts": rfc3339(first.stamp_ns) if first else NEVER,
        "last_seq": stream.last,
        "last_ts": rfc3339(last_ns) if last_ns else NEVER,
        "consumer_count": len(stream.consumers),
    }
    if stream.subjects_count:
        state["num_subjects"] = stream.subjects_count
    deleted = stream.last - stream.first + 1 - len(stream.messages) if stream.messages else 0
    if deleted:
        state["num_deleted"] = deleted
    told: dict[str, Any] = {
        "config": stream.told_config,
        "created": rfc3339(stream.created_ns),
        "state": state,
        "ts": rfc3339(alarms.stamp_ns()),
    }
    if stream.config.sources:
        told["sources"] = [_source(source) for source in stream.sources]
    if subjects_filter:
        totals = stream.totals(subjects_filter)
        if totals:
            state["subjects"] = totals
            told |= {"total": len(totals), "offset": 0, "limit": SUBJECTS_MAX}
    return told


def _source(source: Source) -> dict[str, Any]:
    told: dict[str, Any] = {"name": source.config.name}
    return {**told, "seq": source.seen} if source.seen else told


def consumer_info(consumer: Consumer, alarms: Alarms) -> dict[str, Any]:
    """A consumer's configuration and state."""
    progress = consumer.progress
    consumer.requests.forget_unheard()
    consumer.count_left()
    delivered = progress.delivered
    if not delivered and progress.order == 1 and consumer.is_in_memory:
        delivered = consumer.next - 1  # it has nothing written down yet
    told: dict[str, Any] = {
        "stream_name": consumer.stream.name,
        "name": consumer.name,
        "created": rfc3339(consumer.created_ns),
        "config": consumer.config.told(),
        "delivered": {"consumer_seq": progress.order - 1, "stream_seq": delivered},
        "ack_floor": {"consumer_seq": progress.floor_order, "stream_seq": progress.told_floor},
        "num_ack_pending": len(progress.pending),
        "num_redelivered": len(progress.repeats),
        "num_waiting": consumer.requests.count,
        "num_pending": consumer.left,
        "ts": rfc3339(alarms.stamp_ns()),
    }
    if consumer.is_paused:
        told["paused"] = True
        told["pause_remaining"] = int((consumer.paused_until - alarms.time()) * 1e9)
    return told


def stored(message: Stored) -> dict[str, Any]:
    """A stored message."""
    told: dict[str, Any] = {"subject": message.subject, "seq": message.seq}
    if message.headers:
        told["hdrs"] = base64.b64encode(known.raw(message.headers)).decode()
    if message.data:
        told["data"] = base64.b64encode(message.data).decode()
    return {**told, "time": rfc3339(message.stamp_ns)}


def direct(stream: Stream, message: Stored) -> dict[str, str]:
    """The headers of a stored message that is sent as it is."""
    return {
        **(message.headers or {}),
        "Nats-Stream": stream.name,
        "Nats-Subject": message.subject,
        "Nats-Sequence": str(message.seq),
        "Nats-Time-Stamp": rfc3339(message.stamp_ns),
    }
