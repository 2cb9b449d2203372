"""Which messages of a stream concern a consumer: where it begins, and whether another waits for them too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from squall.chaos.model.configs import ConsumerConfig
from squall.chaos.model.streams import Stream

if TYPE_CHECKING:
    from squall.chaos.model.consumers import Consumer


def first_place(stream: Stream, config: ConsumerConfig) -> int:
    """The first sequence that a new consumer is to deliver."""
    if config.opt_start_seq:
        return max(config.opt_start_seq, stream.first)
    if not stream.first:
        return 1
    return stream.last + 1 if config.deliver_policy == "new" else stream.first


def is_awaited(seq: int, acknowledged: Consumer) -> bool:
    """Whether another consumer than the one that has acknowledged a message is to do so as well.

    So it is in a work queue where filters were changed while the message was under way.
    """
    stream = acknowledged.stream
    message = stream.messages.get(seq)
    others = [consumer for consumer in stream.consumers.values() if consumer is not acknowledged]
    return message is not None and any(other.needs(message) for other in others)
