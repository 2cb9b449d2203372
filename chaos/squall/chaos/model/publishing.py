"""What becomes of a message that is published to a stream: stored, known already, or refused.

    size ─► expectations ─► message id ─► room ─► stored

In this order; so a repeat whose expectation holds no more is refused, though its id is known.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from squall.chaos.model import headers as known
from squall.chaos.model import refusals
from squall.chaos.model.batches import Batches
from squall.chaos.model.frames import Headers
from squall.chaos.model.headers import EXPECTED_LAST, EXPECTED_ON, EXPECTED_STREAM, EXPECTED_SUBJECT, number
from squall.chaos.model.refusals import Refusal
from squall.chaos.model.streams import Stream


def publish(stream: Stream, subject: str, headers: Headers, data: bytes) -> bytes | None:
    """Take a message in.

    Returns:
        The answer for whoever published it; None if there is to be none.

    Raises:
        Unmodelled: A header has a meaning that the model does not know.
    """
    most = stream.config.max_msg_size
    header_bytes = known.size(headers)
    if headers:
        known.check(subject, headers)
        if known.BATCH in headers:
            if stream.batches is None:
                stream.batches = Batches(stream)
            answer = stream.batches.take(subject, headers, header_bytes, data)
            return refused(stream, answer) if isinstance(answer, Refusal) else answer
        if 0 < most < len(data) + header_bytes:
            return refused(stream, refusals.TOO_LARGE)
        unmet = _expectations(stream, subject, headers)
        if unmet is not None:
            return refused(stream, unmet)
        message_id = headers.get(known.MESSAGE_ID)
        if message_id:
            seq = stream.place_of(message_id)
            if seq:
                return b'{"stream":"%s", "seq":%d,"duplicate": true}' % (stream.name.encode(), seq)
    elif 0 < most < len(data):
        return refused(stream, refusals.TOO_LARGE)
    full = room(stream, subject, header_bytes, data)
    if full is not None:
        return refused(stream, full)
    message = stream.store(subject, headers, header_bytes, data)
    return b'{"stream":"%s", "seq":%d}' % (stream.name.encode(), message.seq)


def refused(stream: Stream, refusal: Refusal) -> bytes:
    """The answer to a message that is not stored."""
    return msgspec.json.encode({"error": refusal.error(), "stream": stream.name, "seq": 0})


def _expectations(stream: Stream, subject: str, headers: Mapping[str, str]) -> Refusal | None:
    expected_stream = headers.get(EXPECTED_STREAM)
    if expected_stream and expected_stream != stream.name:
        return refusals.WRONG_STREAM
    expected = number(headers, EXPECTED_ON)
    if expected is not None:
        newest = stream.last_on(headers.get(EXPECTED_SUBJECT) or subject)
        if newest != expected:
            return refusals.wrong_last(newest)
    elif headers.get(EXPECTED_SUBJECT):
        return refusals.SEQUENCE_MISSING
    expected = number(headers, EXPECTED_LAST)
    if expected is not None and expected != stream.last:
        return refusals.wrong_last(stream.last)
    return refusals.SOURCE_HEADER if known.SOURCE in headers else None


def room(stream: Stream, subject: str, header_bytes: int, data: bytes) -> Refusal | None:
    """Why a stream that refuses when it is full has no room for a message; None if it has."""
    config = stream.config
    if config.discard != "new":
        return None
    replaced = 0
    if 0 < config.max_msgs_per_subject <= stream.count_on(subject):
        if config.discard_new_per_subject:
            return refusals.SUBJECT_FULL
        replaced = stream.first_on(subject).size
    if 0 < config.max_msgs <= len(stream.messages) and not replaced:
        return refusals.MESSAGES_FULL
    if config.max_bytes > 0:
        size = stream.size_of(subject, header_bytes, data)
        if stream.bytes + size > config.max_bytes and replaced < size:
            return refusals.BYTES_FULL
    return None
