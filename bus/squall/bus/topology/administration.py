"""What is no link: the rights of those that make a swarm, watch it and keep order in it. Pure.

A short list, written out, since no other node is at its other end.
"""

from __future__ import annotations

from collections.abc import Iterable

from squall.bus.subjects import ANY, ME, POOL, REST, Subjects, api, every_ack, next_message
from squall.bus.topology.rights import Permissions


def launcher() -> Permissions:
    """Makes streams and consumers, finds whether they are as it would make them, and removes consumers."""
    return Permissions(
        publish=(
            api("INFO"),
            api("STREAM", "CREATE", ANY),
            api("STREAM", "INFO", ANY),
            api("CONSUMER", "CREATE", REST),
            api("CONSUMER", "INFO", ANY, ANY),
            api("CONSUMER", "DELETE", ANY, ANY),
        )
    )


def observer(s: Subjects, reads: Iterable[tuple[str, str]]) -> Permissions:
    """Sees everything, changes nothing but consumers that it reads with.

    Args:
        reads: Planes and what of them it reads.
    """
    reading = [
        right
        for plane, wanted in reads
        for right in (
            api("CONSUMER", "CREATE", s.stream(plane), ME, wanted),
            next_message(s.stream(plane), ME),
            api("CONSUMER", "DELETE", s.stream(plane), ME),
        )
    ]
    return Permissions(
        publish=(
            api("STREAM", "INFO", ANY),
            api("CONSUMER", "INFO", ANY, ANY),
            api("STREAM", "MSG", "GET", ANY),
            *reading,
        ),
        subscribe=(s.heartbeats,),
    )


def warden(s: Subjects) -> Permissions:
    """Sees who pulls from the pool and who answers; makes the pool's consumer anew."""
    wk = s.stream("WK")
    return Permissions(
        publish=(
            api("STREAM", "INFO", wk),
            api("STREAM", "INFO", s.stream("RES")),
            api("CONSUMER", "INFO", wk, POOL),
            api("CONSUMER", "DELETE", wk, POOL),
            api("CONSUMER", "CREATE", wk, POOL, s.work),
        ),
        subscribe=(every_ack(wk, POOL), next_message(wk, POOL)),
    )


def lane_mover(s: Subjects, *planes: str) -> Permissions:
    """Says which consumer has which lanes of work queues, and until when one delivers nothing."""
    return Permissions(
        publish=tuple(
            right
            for stream in map(s.stream, planes)
            for right in (
                api("CONSUMER", "LIST", stream),
                api("CONSUMER", "CREATE", stream, ANY),
                api("CONSUMER", "DELETE", stream, ANY),
                api("CONSUMER", "PAUSE", stream, ANY),
            )
        )
    )
