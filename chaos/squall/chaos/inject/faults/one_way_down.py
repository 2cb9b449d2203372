"""One way, down: what a node is sent is dropped; what it sends arrives, answers to it do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from squall.chaos.inject.faults.fault import LinkFault
from squall.chaos.inject.probe import ProbeResult
from squall.chaos.inject.toxiproxy.toxics import Timeout, Toxic


class OneWayDown(LinkFault, frozen=True, kw_only=True):
    """Has a limited life: once a side misses the other's answers, it gives the connection up."""

    name: ClassVar[str] = "one-way-down"

    def toxics(self) -> Sequence[Toxic]:
        return (Timeout(stream="downstream", timeout_ms=0),)

    def is_felt(self, result: ProbeResult) -> bool:
        return result.outcome == "silent"
