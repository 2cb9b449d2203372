"""Blackhole: bytes are dropped both ways; a close is still passed on, so a side that gives up is noticed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from squall.chaos.inject.faults.fault import LinkFault
from squall.chaos.inject.probe import ProbeResult
from squall.chaos.inject.toxiproxy.toxics import Timeout, Toxic


class Blackhole(LinkFault, frozen=True, kw_only=True):
    name: ClassVar[str] = "blackhole"

    def toxics(self) -> Sequence[Toxic]:
        return (Timeout(stream="upstream", timeout_ms=0), Timeout(stream="downstream", timeout_ms=0))

    def is_felt(self, result: ProbeResult) -> bool:
        return result.outcome == "silent"
