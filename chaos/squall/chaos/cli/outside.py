"""A series on somebody else's broker: what can be asked of it, and what is left of its runs. Pure.

    --nats URL ─► reached through proxies, so in clear text ─► address
    plan ─► its swarm named apart ─► nothing of it strikes the broker ─► plan

A broker that others use is not killed, restarted or paused. What is between it and the nodes is ours to
break.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import msgspec

from squall.bus.tls import is_clear_text
from squall.chaos.errors import FaultError
from squall.chaos.plan.schedule import Interval, Schedule
from squall.chaos.plan.series import Plan
from squall.chaos.plan.surface import BROKER
from squall.services.cli.asked import check_url, named_apart
from squall.services.errors import SpecError

PORT = 4222
"""Where a NATS server listens if its URL does not say."""


def address_of(url: str, *, insecure: bool) -> str:
    """The URL that nodes' proxies lead to: ``nats://host:port``, and nothing else.

    Args:
        insecure: Whether clear text may pass a network.

    Raises:
        SpecError: It is no such URL, or asks for what a proxy takes away.
    """
    check_url(url, insecure=True)
    parts = urlsplit(url)
    if parts.scheme != "nats":
        raise SpecError(
            f"{url} asks for TLS, and behind its proxy no node finds the name that the certificate is for",
            "name a listener in clear text on this machine, for instance nats://127.0.0.1:4222",
        )
    if is_clear_text(url) and not insecure:
        raise SpecError(
            f"{url} is another machine, and nats:// would send signatures and all traffic in clear text",
            "add --insecure-nats if the network is yours alone; behind a proxy a node cannot use TLS",
        )
    host = parts.hostname or ""
    return f"nats://{f'[{host}]' if ':' in host else host}:{parts.port or PORT}"


def check_spared(faults: Sequence[tuple[str, str]], schedules: Iterable[Schedule]) -> None:
    """See that nothing that was asked for by name strikes the broker.

    Args:
        faults: Each with its target, or an empty string for any.
        schedules: Those that were written down, not drawn.

    Raises:
        FaultError: Something does.
    """
    named = [*faults, *((each.fault, each.target) for one in schedules for each in one.intervals)]
    for fault, target in named:
        if target == BROKER:
            raise FaultError(
                f"{fault}@{BROKER} strikes the broker, and with --nats that is somebody else's",
                "leave out the fault, or --nats: a broker of Squall's own may be struck",
            )


def on_outside_broker(plan: Plan) -> Plan:
    """A run with streams of its own on a broker that nothing strikes."""
    left = tuple(filter(_spares, plan.schedule.intervals))
    schedule = msgspec.structs.replace(plan.schedule, intervals=left)
    return replace(plan, spec=named_apart(plan.spec), schedule=schedule)


def _spares(interval: Interval) -> bool:
    return interval.target != BROKER
