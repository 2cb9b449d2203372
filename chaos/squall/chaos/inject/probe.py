"""A probe: what a stranger feels who connects to a broker, or to a venue, at an address.

    connect ──► INFO ──► PING before CONNECT ──► the broker objects
       │         │                                  │
    refused    silent: nothing comes back        deaf: nothing gets through

The broker speaks first, so hearing it needs the way down alone, and its answer both ways. A venue is asked
twice whether it is there, and is never found deaf.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Literal

Outcome = Literal["answered", "deaf", "silent", "closed", "refused", "error"]


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came of one connection.

    Attributes:
        outcome: ``answered``: both ways work. ``deaf``: the broker was heard and did not hear. ``silent``:
            nothing was heard. ``closed``: the connection ended before anything was heard. ``refused``: there
            was none. ``error``: it was heard to answer with an error.
        heard_s: From connecting until the broker was heard in full, or None.
        answered_s: From speaking until it answered, or None.
        torn: Whether the first piece that came ends where no sender ends one.
        bytes: How many came before anything was said.
    """

    outcome: Outcome
    heard_s: float | None = None
    answered_s: float | None = None
    torn: bool = False
    bytes: int = 0


Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Converse = Callable[[Streams, float, float], Awaitable[ProbeResult]]
"""Given the connection, when it was begun, and how long each step may take."""


async def probe(address: str, *, timeout_s: float = 1.0) -> ProbeResult:
    """Connect to a broker at ``host:port``, and give each step so much time."""
    return await _probe(address, timeout_s, _converse)


async def probe_venue(address: str, *, timeout_s: float = 1.0) -> ProbeResult:
    """Connect to a venue at ``host:port``, and give each step so much time."""
    return await _probe(address, timeout_s, _ask)


async def _probe(address: str, timeout_s: float, converse: Converse) -> ProbeResult:
    host, _, port = address.rpartition(":")
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(host, int(port))
    except ConnectionResetError:
        return ProbeResult("closed")  # it was accepted, and reset before it was looked at
    except (OSError, TimeoutError):
        return ProbeResult("refused")
    try:
        return await converse((reader, writer), began_s, timeout_s)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _converse(streams: Streams, began_s: float, timeout_s: float) -> ProbeResult:
    reader, writer = streams
    heard, _ = await _hear(reader, lambda data: data.endswith(b"\n"), timeout_s, end=b"\r\n")
    if heard.outcome != "answered":
        return heard
    heard_s = time.monotonic() - began_s
    spoke_s = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            writer.write(b"PING\r\n")
            await writer.drain()
            answer = await reader.read(65536)
    except (OSError, TimeoutError):
        answer = b""
    if not answer:
        return replace(heard, outcome="deaf", heard_s=heard_s)
    return replace(heard, heard_s=heard_s, answered_s=time.monotonic() - spoke_s)


_QUESTION = b"GET /healthz HTTP/1.1\r\nHost: venue\r\n\r\n"


async def _ask(streams: Streams, began_s: float, timeout_s: float) -> ProbeResult:
    first = await _question(streams, timeout_s)
    if first.outcome != "answered":
        return first
    heard_s = time.monotonic() - began_s
    asked_s = time.monotonic()
    again = await _question(streams, timeout_s)
    answered_s = time.monotonic() - asked_s if again.outcome == "answered" else None
    return replace(first, heard_s=heard_s, answered_s=answered_s)


async def _question(streams: Streams, timeout_s: float) -> ProbeResult:
    """Ask once whether the venue is there, without saying how long that took."""
    reader, writer = streams
    try:
        async with asyncio.timeout(timeout_s):
            writer.write(_QUESTION)
            await writer.drain()
    except TimeoutError:
        return ProbeResult("silent")
    except OSError:
        return ProbeResult("closed")
    # A head is sent before its body, so on a busy machine it may come alone.
    answer, heard = await _hear(reader, _is_whole, timeout_s, end=b"\r\n\r\n")
    if answer.outcome == "answered" and not heard.startswith(b"HTTP/1.1 200 "):
        return replace(answer, outcome="error")
    return answer


async def _hear(
    reader: asyncio.StreamReader, is_whole: Callable[[bytes], bool], timeout_s: float, *, end: bytes
) -> tuple[ProbeResult, bytes]:
    """Read until what is heard is whole; how that went, without how long it took, and what it was.

    Args:
        end: What a sender ends a piece with that is not yet the whole.
    """
    heard = b""
    torn = False
    outcome: Outcome = "answered"
    try:
        async with asyncio.timeout(timeout_s):
            while not is_whole(heard):
                piece = await reader.read(65536)
                if not piece:
                    outcome = "closed"
                    break
                heard += piece
                torn = torn or (heard == piece and not heard.endswith(end) and not is_whole(heard))
    except TimeoutError:
        outcome = "silent"
    except OSError:
        outcome = "closed"
    return ProbeResult(outcome, torn=torn, bytes=len(heard)), heard


def _is_whole(heard: bytes) -> bool:
    """Whether this is a head and as much of a body as it announces."""
    head, end, body = heard.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)^content-length: *(\d+)", head, re.MULTILINE)
    return bool(end) and length is not None and len(body) >= int(length[1])
