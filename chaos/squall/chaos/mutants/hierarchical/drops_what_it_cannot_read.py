"""A coordinator that cannot read a heartbeat now and then: it counts that, logs it, and goes on."""

from __future__ import annotations

from nats.aio.msg import Msg

from squall.services.roles.slots import Slots

ONE_IN = 5
"""Heartbeats that arrive spoiled; the others keep the agents known."""


def install(node: str, role: str) -> None:
    on_heartbeat = Slots._on_heartbeat
    heard = 0

    def spoiled(self: Slots, message: Msg) -> None:
        nonlocal heard
        heard += 1
        if heard % ONE_IN == 0:
            message.data = b"\xc1"
        on_heartbeat(self, message)

    Slots._on_heartbeat = spoiled  # type: ignore[method-assign]
