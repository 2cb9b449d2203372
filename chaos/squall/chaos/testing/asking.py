"""From ``@pytest.mark.squall(...)`` to the swarm of a test."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from squall.chaos.cli.setup import spec_of
from squall.chaos.judge.checks import promises_of
from squall.chaos.plan.load import check_load
from squall.chaos.plan.schedule import Schedule
from squall.chaos.testing.handlers import named
from squall.chaos.testing.swarm import SwarmUnderTest
from squall.services.errors import SpecError
from squall.services.intake.store import count
from squall.services.node.service import Origin
from squall.services.patterns import DEFAULT
from squall.services.run.loaded import STEADY_S
from squall.services.run.swarm_toml import convert

ORIGIN = "@pytest.mark.squall"


def asked_for(marker: pytest.Mark | None, module: ModuleType | None, path: Path) -> SwarmUnderTest:
    """The swarm that a test is marked with; the default one if it is not.

    Args:
        module: The test's.
        path: Where its run's directory is to be.

    Raises:
        SpecError: There is no such swarm.
    """
    if marker is not None and marker.args:
        raise SpecError(f"{ORIGIN} takes keywords alone", "for instance handler=decide")
    asked: dict[str, Any] = dict(marker.kwargs) if marker is not None else {}
    pattern, excused, handler = (
        asked.pop("pattern", DEFAULT),
        asked.pop("excused", ()),
        asked.pop("handler", None),
    )
    if not isinstance(pattern, str):
        raise SpecError(f"{ORIGIN} has a pattern that is no text", f"for instance pattern={DEFAULT!r}")
    origin: Origin | None = None
    if handler is not None:
        asked["handler"], origin = named(handler, module)
    values = {name: value for name, value in asked.items() if value is not None}
    spec = convert({**msgspec.structs.asdict(spec_of(pattern, beside=values)), **values}, ORIGIN)
    if spec.tasks_from:
        spec = msgspec.structs.replace(spec, tasks=count(spec))
    _check_ids(spec.pattern, excused)
    check_load([("a steady state alone", spec, Schedule(seed=spec.seed))], steady_s=STEADY_S)
    return SwarmUnderTest(spec, path, origin, excused)


def _check_ids(pattern: str, ids: object) -> None:
    """See that these are ids of checks of a pattern.

    Raises:
        SpecError: There is no such check, or the package that brings them is broken.
    """
    promises = promises_of(pattern)
    known = [promise.id for promise in promises.promises] if promises is not None else []
    if not isinstance(ids, list | tuple) or not all(check in known for check in ids):
        raise SpecError(f"excused is {ids!r}, not a list of checks; there are {', '.join(known)}")
