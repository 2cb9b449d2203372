"""Stall: nothing moves and nothing is lost; what was held arrives when it ends, as after a short outage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from squall.chaos.inject.faults.fault import LinkFault
from squall.chaos.inject.probe import ProbeResult
from squall.chaos.inject.toxiproxy.toxics import Bandwidth, Toxic


class Stall(LinkFault, frozen=True, kw_only=True):
    name: ClassVar[str] = "stall"

    def toxics(self) -> Sequence[Toxic]:
        return (
            Bandwidth(stream="upstream", rate_kb_per_s=0),
            Bandwidth(stream="downstream", rate_kb_per_s=0),
        )

    def is_felt(self, result: ProbeResult) -> bool:
        return result.outcome == "silent"
