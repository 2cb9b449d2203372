"""Guests: handlers that are reached on the swarm's own broker, each in an account of its own. Pure.

[handler] use = "nats:prices.decide", guest = "pricer" ──► what the account of pricer offers
"""

from __future__ import annotations

from squall.bus.border import is_name, printable
from squall.bus.topology.guest import Guest
from squall.services.errors import SpecError
from squall.services.handlers.port import Handling

AGENT, NATS = "agent:", "nats:"

RESERVED = ("$", "_", "sw.")
"""How subjects begin that are the broker's, or a swarm's."""

MARGIN_S = 60.0
"""How much longer than an attempt the broker remembers where an answer goes."""


def check(handling: Handling, shown: str) -> None:
    """See that a handler can be a guest.

    Args:
        shown: The handler, for a sentence.

    Raises:
        SpecError: It cannot.
    """
    if handling.server or handling.credentials:
        raise SpecError(
            f"the handler {shown} has a broker of its own, and is a guest of the swarm's",
            "leave server and credentials out, or guest",
        )
    if not is_name(handling.guest):
        raise SpecError(
            f"the handler {shown} is a guest called {printable(handling.guest, 60)!r}, which can be no name",
            "use a-z, 0-9 and hyphens, for instance guest = 'pricer'",
        )
    if handling.name.startswith(NATS) and handling.name.removeprefix(NATS).startswith(RESERVED):
        raise SpecError(
            f"the handler {shown} is a guest on a subject of the swarm's or the broker's",
            "use another, for instance nats:prices.decide",
        )


def guest_of(handling: Handling, timeout_s: float) -> Guest | None:
    """The guest that a handler is; None if it is none.

    Args:
        timeout_s: How long one attempt may take.
    """
    if not handling.guest:
        return None
    silence_s = timeout_s + MARGIN_S
    if handling.name.startswith(NATS):
        return Guest(handling.guest, (handling.name.removeprefix(NATS),), silence_s=silence_s)
    name = ".".join(handling.name.removeprefix(AGENT).split("/"))
    return Guest(
        handling.guest,
        (f"agents.prompt.{name}", f"agents.status.{name}", "$SRV.INFO.agents"),
        hears=("$SRV.>",),
        says=(f"agents.hb.{name}",),
        silence_s=silence_s,
    )
