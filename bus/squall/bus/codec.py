"""Bytes to messages and back: the one encoder and the one decoder."""

from __future__ import annotations

import functools
from typing import TypeVar

import msgspec

from squall.bus.border import printable
from squall.bus.errors import DecodeError, MessageTooLargeError
from squall.bus.messages import SCHEMA, Message

MESSAGE_BYTES_MAX = 512 * 1024
"""Bound on one encoded message; half of the broker's, which counts headers too."""

HEADER_BYTES_MAX = 4 * 1024
"""What the headers that the broker reads may add to a message in a stream."""

SUBMISSION_BYTES_MAX = MESSAGE_BYTES_MAX - 4 * 1024
"""Bound on one submitted task: its dispatch and its dead letter say more about it, and must fit as well."""

M = TypeVar("M", bound=Message)

_encoder = msgspec.msgpack.Encoder()


@functools.cache
def _decoder(kind: type[Message]) -> msgspec.msgpack.Decoder[Message]:
    """Made once a kind. A pattern may bring messages of its own."""
    return msgspec.msgpack.Decoder(kind)


def encode(message: Message, bytes_max: int = MESSAGE_BYTES_MAX) -> bytes:
    """The bytes of a message.

    Raises:
        MessageTooLargeError: More than ``bytes_max``.
    """
    data = _encoder.encode(message)
    if len(data) > bytes_max:
        raise MessageTooLargeError(
            f"a {type(message).__name__} of {len(data):,} bytes passes the bound of {bytes_max:,}"
        )
    return data


def decode(data: bytes, kind: type[M]) -> M:
    """The message in these bytes, which must be of this kind.

    Raises:
        DecodeError: Too large, nested too deep, not msgpack, another kind, a wrong type, or a schema other
            than ours and the one before. Nothing else is raised, whatever the bytes are.
    """
    if len(data) > MESSAGE_BYTES_MAX:
        raise DecodeError(f"not a {kind.__name__}: {len(data):,} bytes pass {MESSAGE_BYTES_MAX:,}")
    try:
        message = _decoder(kind).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"not a {kind.__name__}: {printable(str(error))}") from error
    except (RecursionError, OverflowError, MemoryError) as error:
        raise DecodeError(f"not a {kind.__name__}: {type(error).__name__}") from error
    if not SCHEMA - 1 <= message.schema <= SCHEMA:
        raise DecodeError(
            f"a {kind.__name__} of schema {message.schema}; this node reads {SCHEMA - 1} and {SCHEMA}"
        )
    return message  # type: ignore[return-value]
