"""A peer's records: written until the broker has had its say."""

from __future__ import annotations

from collections.abc import Mapping

from squall.bus.codec import encode
from squall.bus.connection import Connection
from squall.bus.jetstream import EXPECT_NEW, WRONG_LAST_SEQUENCE, Outcome, publish
from squall.bus.messages import Message

WRITE_S = 5.0
"""How long one record is tried; then whoever writes it looks at the log again."""


async def write_new(connection: Connection, subject: str, record: Message) -> bool:
    """Write what must be the first on its subject; whether it stands there now, by this call or one before.

    Raises:
        MessageTooLargeError: It would pass the size bound.
        ForbiddenError: These credentials do not reach the subject.
    """
    outcome = await write(connection, subject, record, EXPECT_NEW)
    return outcome.accepted or outcome.code == WRONG_LAST_SEQUENCE


async def write(connection: Connection, subject: str, record: Message, headers: Mapping[str, str]) -> Outcome:
    """Write a record that may be there twice, or that its headers keep from it.

    Raises:
        MessageTooLargeError, ForbiddenError: As `write_new`.
    """
    return await publish(connection, subject, encode(record), timeout_s=WRITE_S, headers=headers)
