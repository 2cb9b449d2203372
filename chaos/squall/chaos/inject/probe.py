"""A probe: what a stranger feels who connects to a broker at an address.

    connect ──► INFO ──► PING before CONNECT ──► the broker objects
       │         │                                  │
    refused    silent: nothing comes back        deaf: nothing gets through

The broker speaks first, so hearing it needs the way down alone, and its answer both ways.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["answered", "deaf", "silent", "closed", "refused"]


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came of one connection.

    Attributes:
        outcome: ``answered``: both ways work. ``deaf``: the broker was heard and did not hear. ``silent``:
            nothing was heard. ``closed``: the connection ended before anything was heard. ``refused``: there
            was none.
        heard_s: From connecting until the broker was heard in full, or None.
        answered_s: From speaking until it answered, or None.
        first_bytes: How many bytes came first in one piece.
        bytes: How many came before anything was said.
    """

    outcome: Outcome
    heard_s: float | None = None
    answered_s: float | None = None
    first_bytes: int = 0
    bytes: int = 0


async def probe(address: str, *, timeout_s: float = 1.0) -> ProbeResult:
    """Connect to ``host:port``, and give each step so much time."""
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
        return await _converse(reader, writer, began_s, timeout_s)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _converse(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, began_s: float, timeout_s: float
) -> ProbeResult:
    heard = b""
    first = 0
    try:
        async with asyncio.timeout(timeout_s):
            while not heard.endswith(b"\n"):
                piece = await reader.read(65536)
                if not piece:
                    return ProbeResult("closed", first_bytes=first, bytes=len(heard))
                first = first or len(piece)
                heard += piece
    except TimeoutError:
        return ProbeResult("silent", first_bytes=first, bytes=len(heard))
    except OSError:
        return ProbeResult("closed", first_bytes=first, bytes=len(heard))
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
        return ProbeResult("deaf", heard_s, None, first, len(heard))
    return ProbeResult("answered", heard_s, time.monotonic() - spoke_s, first, len(heard))
