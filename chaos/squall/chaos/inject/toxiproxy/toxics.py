"""What Toxiproxy can do to the bytes of a proxy, and what may be asked of it. Pure.

A toxic acts on the bytes of one direction: *upstream* is what the client sends,
*downstream* what it is sent. Order is always kept, and nothing is ever doubled.
"""

from __future__ import annotations

from typing import ClassVar, Literal, TypeAlias

import msgspec

from squall.chaos.errors import FaultError

Stream: TypeAlias = Literal["upstream", "downstream"]

NUMBER_MAX = 2**31 - 1
"""The server multiplies what it is given; beyond this its numbers could turn around."""


class Toxic(msgspec.Struct, frozen=True, kw_only=True):
    """What all toxics share.

    Attributes:
        stream: The direction.
        toxicity: 1 for every connection, 0 for none. Between the two a coin would be thrown for each
            connection, and again whenever another toxic changes.
    """

    type: ClassVar[str]
    stream: Stream
    toxicity: Literal[0, 1] = 1

    @property
    def name(self) -> str:
        """A proxy has one toxic of a type in a direction."""
        return f"{self.type}_{self.stream}"

    def attributes(self) -> dict[str, int]:
        """What the server calls the rest."""
        raise NotImplementedError


class Latency(Toxic, frozen=True, kw_only=True):
    """Hold each byte for a while. Removing it releases at once what is held."""

    type: ClassVar[str] = "latency"
    latency_ms: int
    jitter_ms: int = 0

    def attributes(self) -> dict[str, int]:
        return {"latency": self.latency_ms, "jitter": self.jitter_ms}


class Bandwidth(Toxic, frozen=True, kw_only=True):
    """Pass so many bytes a second. A rate of 0 holds everything, a close too; removing it loses nothing."""

    type: ClassVar[str] = "bandwidth"
    rate_kb_per_s: int

    def attributes(self) -> dict[str, int]:
        return {"rate": self.rate_kb_per_s}


class SlowClose(Toxic, frozen=True, kw_only=True):
    """Pass everything, and delay the close.

    Heal it by creating its proxy anew, not by removing it: where it stands behind another toxic and a link
    waits to close, the removal of both fails silently on that link, and the next toxic in that direction
    makes the server panic (seen with 2.12).
    """

    type: ClassVar[str] = "slow_close"
    delay_ms: int

    def attributes(self) -> dict[str, int]:
        return {"delay": self.delay_ms}


class Timeout(Toxic, frozen=True, kw_only=True):
    """Swallow every byte, and close after a silence of so long; 0 never closes.

    Removing it closes the connections: a stream with a hole must not go on.
    """

    type: ClassVar[str] = "timeout"
    timeout_ms: int

    def attributes(self) -> dict[str, int]:
        return {"timeout": self.timeout_ms}


class ResetPeer(Toxic, frozen=True, kw_only=True):
    """Wait after the first bytes, then close; with a reset only where the connection began under this toxic.

    That holds even at toxicity 0 (Shopify/toxiproxy #603).
    """

    type: ClassVar[str] = "reset_peer"
    timeout_ms: int

    def attributes(self) -> dict[str, int]:
        return {"timeout": self.timeout_ms}


class Slicer(Toxic, frozen=True, kw_only=True):
    """Cut what passes into pieces of about that size, with a pause between two."""

    type: ClassVar[str] = "slicer"
    average_bytes: int
    variation_bytes: int = 0
    delay_us: int = 0

    def attributes(self) -> dict[str, int]:
        return {
            "average_size": self.average_bytes,
            "size_variation": self.variation_bytes,
            "delay": self.delay_us,
        }


class LimitData(Toxic, frozen=True, kw_only=True):
    """Pass so many bytes of each connection, counted from when this was added, then close it."""

    type: ClassVar[str] = "limit_data"
    limit_bytes: int

    def attributes(self) -> dict[str, int]:
        return {"bytes": self.limit_bytes}


def validate(toxic: Toxic) -> None:
    """Refuse what Toxiproxy would not do as it is written; some of it would end the server.

    Raises:
        FaultError: This toxic must not be sent.
    """
    if toxic.stream not in ("upstream", "downstream"):
        raise FaultError(f"{toxic.type}: the stream is {toxic.stream!r}, not upstream or downstream")
    if toxic.toxicity not in (0, 1):
        raise FaultError(f"{toxic.type}: the toxicity is {toxic.toxicity!r}, not 0 or 1")
    for field in msgspec.structs.fields(toxic):
        value = getattr(toxic, field.name)
        if field.name not in Toxic.__struct_fields__ and not _is_count(value):
            raise FaultError(
                f"{toxic.type}: {field.name} is {value!r}, not a whole number from 0 to {NUMBER_MAX}"
            )
    if isinstance(toxic, Slicer):
        if toxic.average_bytes < 1:
            raise FaultError("slicer: average_bytes is 0, so a piece would never be small enough")
        if toxic.variation_bytes > toxic.average_bytes:
            raise FaultError(
                f"slicer: variation_bytes, {toxic.variation_bytes}, is above average_bytes, "
                f"{toxic.average_bytes}"
            )


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= NUMBER_MAX
