"""Known-bad variants of the harness itself: each must end in anything but a pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from squall.chaos.evidence import reader as chaos_history
from squall.chaos.inject.faults.fault import LinkFault, Site
from squall.chaos.inject.faults.latency import Latency
from squall.chaos.inject.network import Network
from squall.chaos.judge import run as chaos_judge
from squall.chaos.judge.checks import hierarchical


@contextlib.contextmanager
def heal_not_sent() -> Iterator[None]:
    """A fault is not taken back."""

    async def forget(self: LinkFault, site: Site) -> None:
        pass

    with mock.patch.object(LinkFault, "heal", forget):
        yield


@contextlib.contextmanager
def toxic_without_effect() -> Iterator[None]:
    """What is put in force does nothing."""
    with mock.patch.object(Latency, "toxics", return_value=()):
        yield


@contextlib.contextmanager
def history_lost() -> Iterator[None]:
    """A twentieth of the lines is gone before anybody reads them."""
    read = chaos_history.read

    def read_what_is_left(run: Path) -> Any:
        path = run / chaos_history.HISTORY
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(line for place, line in enumerate(lines) if place % 20))
        return read(run)

    with mock.patch.object(chaos_judge, "read", read_what_is_left):
        yield


@contextlib.contextmanager
def checker_swallowed() -> Iterator[None]:
    """A check raises, and nobody looks."""

    def broken(history: Any) -> Any:
        raise RuntimeError("this check is broken")

    with mock.patch.dict(hierarchical.CHECKS, {"H1": broken}):
        yield


@contextlib.contextmanager
def node_past_its_proxy() -> Iterator[None]:
    """One agent is given the broker's own address."""
    route = Network.route

    async def astray(self: Network, node: str, url: str) -> str:
        return url if node == "agent-1" else await route(self, node, url)

    with mock.patch.object(Network, "route", astray):
        yield


@contextlib.contextmanager
def nothing() -> Iterator[None]:
    """As it is."""
    yield
