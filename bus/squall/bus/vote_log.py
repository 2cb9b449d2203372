"""The streams of equal peers: the log that they vote on, and what their links go through.

IN ──source──► LOG ──republish──► feed        link.<from>.<to> ──► LINK ──republish──► told.<from>.<to>
                └───source──► WK
"""

from __future__ import annotations

from typing import Any

from squall.bus.codec import HEADER_BYTES_MAX, MESSAGE_BYTES_MAX
from squall.bus.feed import republishing
from squall.bus.jetstream import sourced
from squall.bus.subjects import ANY
from squall.bus.vote_subjects import LINKS, VoteSubjects

LINK_BYTES_MAX = 16 * 1024
"""Of a message on a link."""


def log_stream_config(swarm: VoteSubjects, *, bytes_max: int, replicas: int = 1) -> dict[str, Any]:
    """The log. It refuses when it is full, and what it holds is trimmed but for the epochs.

    Tasks come from the ingress alone. It takes no batches: whoever may write a stream that does can begin so
    many that the broker takes none of anybody else's.
    """
    return {
        "name": swarm.stream,
        "description": "the log: epochs, tasks, proposals, votes and decisions, in the one order that counts",
        "subjects": [
            swarm.epochs,
            swarm.trimmed,
            swarm.proposal(ANY, ANY, ANY),
            swarm.vote(ANY, ANY, ANY),
            swarm.closing(ANY, ANY, ANY),
            swarm.decision(ANY, ANY, ANY, ANY),
        ],
        **sourced(swarm.swarm.stream("IN"), swarm.task_transform),
        **republishing(swarm.republished),
        "storage": "file",
        "retention": "limits",
        "num_replicas": replicas,
        "discard": "new",
        "max_bytes": bytes_max,
        "max_msg_size": MESSAGE_BYTES_MAX + HEADER_BYTES_MAX,
        # The smallest there is: what a peer writes has no message id, which another could have used up.
        "duplicate_window": 100_000_000,
        "deny_delete": True,
    }


def link_stream_config(swarm: VoteSubjects) -> dict[str, Any]:
    """What links go through; see `VoteSubjects.told`. It keeps nothing, and answers nobody."""
    return {
        "name": swarm.swarm.stream(LINKS),
        "description": "links: what peers say to each other, which the broker says again and forgets",
        "subjects": [swarm.link(ANY, ANY, ANY)],
        **republishing(swarm.retold),
        "allow_direct": False,
        "storage": "file",  # one in memory is gone for good once the broker is started again
        "retention": "limits",
        "num_replicas": 1,
        "discard": "old",
        "max_msgs": 1,
        "max_msg_size": LINK_BYTES_MAX,
        "no_ack": True,
    }
