"""Register: the first writer wins for the life of the swarm; the second learns that somebody won.

A register is one subject of a stream, and is written with expected sequence 0; where no leader writes the
stream, it also holds one message a subject and refuses a second. It carries no message id: an id could be
used up by somebody else, and the victim's record would be taken for a duplicate (`Nats-Msg-Id` poisoning).
"""

from __future__ import annotations

from typing import Any, Literal

from squall.bus.codec import HEADER_BYTES_MAX, MESSAGE_BYTES_MAX, decode, encode
from squall.bus.connection import Connection
from squall.bus.errors import RejectedError
from squall.bus.jetstream import EXPECT_NEW, EXPECT_ON, STORE_REFUSED, WRONG_LAST_SEQUENCE, publish
from squall.bus.messages import Message

Written = Literal["won", "already", "settled", "unknown"]
"""``won``: this call wrote it. ``already``: somebody had. ``settled``: somebody had, perhaps an earlier
try of this call whose answer was lost. ``unknown``: time ran out."""


def stream_config(stream: str, *written: str, bytes_max: int, replicas: int = 1) -> dict[str, Any]:
    """The stream behind registers. No age limit: after one, a second writer would win.

    Args:
        written: The subjects on which registers are written; none where the broker copies them there from
            another stream.
    """
    return {
        "name": stream,
        "description": "registers: what came of each task, of which the first record counts",
        **({"subjects": list(written)} if written else {}),
        "storage": "file",
        "retention": "limits",
        "num_replicas": replicas,
        "max_msgs_per_subject": 1,
        "max_bytes": bytes_max,
        "max_msg_size": MESSAGE_BYTES_MAX + HEADER_BYTES_MAX,
        "discard": "new",
        "discard_new_per_subject": True,
        "deny_delete": True,
        "deny_purge": True,
    }


async def write(
    connection: Connection, subject: str, record: Message, *, timeout_s: float, alone: str = ""
) -> tuple[Written, str]:
    """Write a register if nobody has.

    Args:
        alone: Where there is more than one subject that it may be written on, the pattern of all of them.

    Returns:
        What came of it, and the broker's words where it is unknown.

    Raises:
        MessageTooLargeError: The record would pass the size bound.
        DecodeError: No reader could read it.
        RejectedError: The broker refuses it for another reason, for instance because the stream is full.
    """
    data = encode(record)
    decode(data, type(record))
    headers = {**EXPECT_NEW, **({EXPECT_ON: alone} if alone else {})}
    outcome = await publish(connection, subject, data, timeout_s=timeout_s, headers=headers)
    if outcome.accepted:
        return "won", ""
    if outcome.code == WRONG_LAST_SEQUENCE or (
        outcome.code == STORE_REFUSED and "per subject" in outcome.reason
    ):
        return ("settled" if outcome.tries > 1 else "already"), ""
    if outcome.kind == "refused":
        raise RejectedError(subject, f"{outcome.reason} on {subject}", outcome.code)
    return "unknown", outcome.reason
