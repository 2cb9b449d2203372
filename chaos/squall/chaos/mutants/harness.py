"""Known-bad variants of the harness itself: each must end in anything but a pass."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

from squall.chaos.errors import HarnessBrokenError
from squall.chaos.evidence.model import History
from squall.chaos.evidence.reader import Declared, read
from squall.chaos.evidence.series import HISTORY
from squall.chaos.inject.faults.fault import LinkFault, Site
from squall.chaos.inject.faults.latency import Latency
from squall.chaos.inject.network import Network
from squall.chaos.judge import run as judging
from squall.chaos.judge.case import Case
from squall.chaos.judge.checks import promises_of
from squall.chaos.judge.decide import Finding
from squall.chaos.judge.promise import Promises
from squall.chaos.mutants.mutant import SLOW_GATEWAY, Mutant
from squall.chaos.tell import documents
from squall.services.errors import SteadyStateError


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

    def read_what_is_left(run: Path, declared: Declared) -> History:
        path = run / HISTORY
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(line for place, line in enumerate(lines) if place % 20))
        return read(run, declared)

    with mock.patch.object(documents, "read", read_what_is_left):
        yield


@contextlib.contextmanager
def checker_swallowed() -> Iterator[None]:
    """A check raises, and nobody looks."""

    def broken(case: Case) -> Finding:
        raise RuntimeError("this check is broken")

    def with_a_broken_check(pattern: str | None) -> Promises | None:
        promises = promises_of(pattern)
        if promises is None:
            return None
        first, *others = promises.promises
        return replace(promises, promises=(replace(first, check=broken), *others))

    with mock.patch.object(judging, "promises_of", with_a_broken_check):
        yield


@contextlib.contextmanager
def node_past_its_proxy() -> Iterator[None]:
    """One agent is given the broker's own address."""
    route = Network.route

    async def astray(self: Network, node: str, url: str, host: str) -> str:
        return url if node == "agent-1" else await route(self, node, url, host)

    with mock.patch.object(Network, "route", astray):
        yield


HARNESS = (
    Mutant("heal-not-sent", "does not take a fault back", (), SLOW_GATEWAY, staged=heal_not_sent),
    Mutant(
        "toxic-without-effect",
        "puts something in force that does nothing",
        (),
        SLOW_GATEWAY,
        staged=toxic_without_effect,
    ),
    Mutant("history-lost", "loses a part of the history", (), SLOW_GATEWAY, staged=history_lost),
    Mutant(
        "empty-workload",
        "offers nothing",
        (),
        module="squall.chaos.mutants.idle_producer",
        errors=(SteadyStateError,),
    ),
    Mutant(
        "wrong-clock",
        "dates one node's lines an hour ahead",
        (),
        SLOW_GATEWAY,
        "squall.chaos.mutants.wrong_clock",
    ),
    Mutant(
        "checker-swallowed",
        "goes on when a check has raised",
        (),
        SLOW_GATEWAY,
        staged=checker_swallowed,
    ),
    Mutant(
        "node-past-its-proxy",
        "lets a node reach the broker past its proxy",
        (),
        SLOW_GATEWAY,
        staged=node_past_its_proxy,
        errors=(HarnessBrokenError,),
    ),
)
"""They are put to the checks of whichever pattern is proved first."""
