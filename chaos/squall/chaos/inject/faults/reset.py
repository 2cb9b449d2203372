"""Reset: whoever is sent something has its connection ended; one that began meanwhile, with a reset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from squall.chaos.inject.faults.fault import LinkFault
from squall.chaos.inject.probe import ProbeResult
from squall.chaos.inject.toxiproxy.toxics import ResetPeer, Toxic


class Reset(LinkFault, frozen=True, kw_only=True):
    name: ClassVar[str] = "reset"

    def toxics(self) -> Sequence[Toxic]:
        return (ResetPeer(stream="upstream", timeout_ms=0), ResetPeer(stream="downstream", timeout_ms=0))

    def is_felt(self, result: ProbeResult) -> bool:
        return result.outcome in ("closed", "deaf")
