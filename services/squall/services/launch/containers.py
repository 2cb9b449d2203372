"""Nodes as containers of this machine's engine, each with a folder of its own, and gone with the command.

    command ──pipes──► docker run ──► node         the command's end closes the pipes, and the node ends
       │                               │
       │ broker, proxies ◄── network ──┘           without a way out; the venue has a second one, which
       └── history ◄── its own folder ─┘           none but the gateway is in

The broker stays a process of the command, and listens where the network ends at this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import signal
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import BinaryIO, Literal
from urllib.parse import urlsplit

from msgspec.structs import replace

from squall.bus.guard import Guard, seen
from squall.bus.subjects import GATEWAY
from squall.bus.tasks import task_group
from squall.services.errors import SpecError
from squall.services.launch import Cable, Mint, Unit, nothing_minted
from squall.services.launch.collected import HISTORY, Collected
from squall.services.launch.engine import LABEL, Engine, EngineError
from squall.services.launch.image import checked_image
from squall.services.launch.networks import Hangs, Network, NetworkCable, made
from squall.services.launch.piped import PipedLauncher, PipedUnit, piped
from squall.services.launch.processes import resident_kib
from squall.services.node.service import NodeStart
from squall.services.patterns.pattern import AGENT, PRODUCER, VENUE
from squall.services.run.directory import RunDirectory, is_in_use
from squall.services.run.spec import is_own

log = logging.getLogger("squall")

OWN = Path("/squall")
"""Where a node has its own folder."""

NODE_UID = 10001
"""Who a node is in its container, where the command is the superuser; else the command's own user."""

MEMORY = "1g"
PIDS_MAX = 512
SCRATCH = "/tmp:rw,nosuid,nodev,size=64m,mode=1777"

FREEZE_S = 10.0
"""How long a pause is tried. A kernel that is to freeze many threads at once on a busy machine gives up."""

COLLECT_S = 0.1
"""How often what nodes wrote is brought over."""

VENUE_NUMBER = -1
"""Which address of its network the venue keeps: the last, as gateways are given those from the first on."""

Mount = tuple[Path, Path, Literal["", "readonly"]]
"""What of this machine is seen where in a container, and how."""


class ContainerUnit(PipedUnit):
    """A node's container.

    Attributes:
        name: What the engine calls it.
        address: Where it is in the network of the nodes.
        pid: The node's process, as this machine counts; 0 until it is known.
    """

    def __init__(
        self,
        engine: Engine,
        name: str,
        address: str,
        node: str,
        process: Process,
        silence_s: float | None,
    ) -> None:
        super().__init__(node, process, silence_s)
        self.id = name
        self.name = name
        self.address = address
        self.pid = 0
        self._engine = engine

    async def strike(self, number: signal.Signals) -> None:
        if self.process.returncode is None:
            with contextlib.suppress(EngineError):  # it has ended
                await self._engine.ask("kill", "--signal", str(int(number)), self.name)

    async def stands(self, *, stopped: bool) -> bool:
        return bool(self.pid) and await seen(self.pid, stopped=stopped)

    async def is_paused(self) -> bool | None:
        """Whether it is, by the engine's word; None if it has ended."""
        try:
            return (
                await self._engine.ask("inspect", "--format", "{{.State.Paused}}", self.name)
            ).strip() == "true"
        except EngineError:
            return None

    async def find(self) -> None:
        """Find the node's process, as this machine counts; of one that has ended there is none."""
        with contextlib.suppress(EngineError):
            first = (await self._engine.ask("inspect", "--format", "{{.State.Pid}}", self.name)).strip()
            self.pid = _child_of(first)

    async def status(self) -> int:
        status = await self.process.wait()
        return 128 - status if status > 128 else status


class ContainerLauncher(PipedLauncher):
    """Starts nodes as containers. Made by `containers`.

    Attributes:
        engine: What they are asked of.
    """

    target = "containers"
    cable: Cable | None

    def __init__(
        self, guard: Guard, run: RunDirectory, engine: Engine, image: str, nodes: Network, trade: Network
    ) -> None:
        super().__init__(guard, run.logs)
        self.engine = engine
        self._run = run
        self._image = image
        self._nodes = nodes
        self._trade = trade
        self._prefix = f"squall-{secrets.token_hex(4)}"
        self._started = 0
        self.cable = NetworkCable(engine, nodes, _hanging)
        self._user = (NODE_UID, NODE_UID) if os.getuid() == 0 else (os.getuid(), os.getgid())

    def host(self, node: str) -> str:
        return self._trade.gateway if node == VENUE else self._nodes.gateway

    def told(self, start: NodeStart) -> NodeStart:
        return replace(
            start,
            history=str(OWN / HISTORY) if start.history else "",
            path=str(OWN / self._run.venue.name),
            tasks=str(OWN / self._run.tasks.name) if start.tasks else "",
            host="0.0.0.0",  # of its own network alone
        )

    async def start(self, start: NodeStart, mint: Mint = nothing_minted) -> PipedUnit:
        unit = await super().start(start, mint)
        assert isinstance(unit, ContainerUnit)
        if start.role == VENUE:
            port = urlsplit(unit.ready.url).port
            unit.ready = replace(unit.ready, url=f"http://{self._trade.address(VENUE_NUMBER)}:{port}")
        await unit.find()
        return unit

    async def spawn(self, start: NodeStart, log_file: BinaryIO, silence_s: float | None) -> PipedUnit:
        self._started += 1
        name = f"{self._prefix}-{start.node}-{self._started}"
        # Of its own for each start: that of a container that has just ended may not be free yet.
        address = self._nodes.address(self._started)
        process = await self._guard.spawn(
            self.engine.program,
            *self._arguments(start, name, address, self._folder(start)),
            stdin=PIPE,
            stdout=PIPE,
            stderr=log_file,
        )
        return ContainerUnit(self.engine, name, address, start.node, process, silence_s)

    def _arguments(self, start: NodeStart, name: str, address: str, folder: Path) -> list[str]:
        code = self._code(start)
        mounts: list[Mount] = [*code, (folder, OWN, "")]
        # What else is kept there, this run and others among it, is none of a node's business.
        hidden = (
            [str(self._run.path.parent)] if any(_is_in(self._run.path, each) for each, _, _ in code) else []
        )
        return [
            *("run", "--rm", "--interactive", "--init", "--pull", "never", "--log-driver", "none"),
            *("--name", name, "--hostname", start.node, "--label", f"{LABEL}={self._run.path}"),
            *self._networks(start.role, address),
            *("--user", "{}:{}".format(*self._user), "--read-only", "--tmpfs", SCRATCH),
            *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
            *("--memory", MEMORY, "--pids-limit", str(PIDS_MAX)),
            *(word for mount in mounts for word in ("--mount", _mount(mount))),
            *(word for each in hidden for word in ("--tmpfs", f"{each}:ro,size=1m")),
            *("--workdir", str(Path.cwd() if code else OWN), "--env", "HOME=/tmp", self._image),
            *("python", "-P", "-m", "squall.services.node.process", start.role, start.node),
        ]

    def _networks(self, role: str, address: str) -> Sequence[str]:
        nodes = ("--network", f"name={self._nodes.name},ip={address}")
        if role == VENUE:
            return ("--network", f"name={self._trade.name},ip={self._trade.address(VENUE_NUMBER)}")
        return (*nodes, "--network", self._trade.name) if role == GATEWAY else nodes

    def _folder(self, start: NodeStart) -> Path:
        """A node's own folder, with what of the run is its own to write."""
        folder = self._run.containers / start.node
        folder.mkdir(parents=True, exist_ok=True)
        if start.role == VENUE:
            _hand_over(self._run.venue, folder)
        if start.role == PRODUCER and start.tasks:
            _hand_over(self._run.tasks, folder)
        if os.getuid() == 0:
            for each in (folder, *folder.iterdir()):
                os.chown(each, *self._user, follow_symlinks=False)
        folder.chmod(0o700)
        return folder

    def _code(self, start: NodeStart) -> list[Mount]:
        """Where the user's own handler is, which the image does not hold: readable, and at the same place."""
        if start.role != AGENT or not is_own(start.spec.handler):
            return []
        folders = {Path.cwd()}
        if start.origin is not None and start.origin.file:
            folders.add(Path(start.origin.file).parent)
        if (file := start.spec.handler.rsplit(":", 1)[0]).endswith(".py"):
            folders.add(Path(file).absolute().parent)
        return [(folder, folder, "readonly") for folder in sorted(folders)]

    async def freeze(self, unit: Unit) -> bool:
        node = _contained(unit)
        node.held = True
        ends_s = time.monotonic() + FREEZE_S
        while not (is_paused := await self._try("pause", node.name)) and time.monotonic() < ends_s:
            if node.process.returncode is not None:
                break
        return is_paused and await node.is_paused() is True

    async def thaw(self, unit: Unit) -> bool:
        node = _contained(unit)
        if await node.is_paused():
            await self._try("unpause", node.name)
        await node.strike(signal.SIGCONT)  # it may have stopped itself before
        node.held = False
        return await self.goes_on(unit)

    async def _try(self, *words: str) -> bool:
        """Ask for what is looked at afterwards; whether the engine says that it was done."""
        try:
            await self.engine.ask(*words)
        except EngineError as error:
            log.info("docker %s: %s", " ".join(words), error)
            return False
        return True

    async def stands_still(self, unit: Unit) -> bool:
        node = _contained(unit)
        return await node.is_paused() is True or await node.stands(stopped=True)

    async def goes_on(self, unit: Unit) -> bool:
        node = _contained(unit)
        return await node.is_paused() is False and await node.stands(stopped=False)

    def memory_kib(self, unit: Unit) -> int | None:
        return resident_kib(_contained(unit).pid)

    async def stop(self, unit: Unit, *, grace_s: float) -> None:
        if await _contained(unit).is_paused():
            await self.thaw(unit)
        await super().stop(unit, grace_s=grace_s)


def _child_of(pid: str) -> int:
    """The process that another has started; 0 if there is none."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
    return 0


def _hanging(unit: Unit) -> Hangs:
    node = _contained(unit)
    return Hangs(node.name, node.address, node.pid)


def _contained(unit: Unit) -> ContainerUnit:
    node = piped(unit)
    assert isinstance(node, ContainerUnit)
    return node


def _is_in(path: Path, folder: Path) -> bool:
    return folder in path.parents


def _mount(mount: Mount) -> str:
    source, target, how = mount
    return ",".join(filter(None, ("type=bind", f"src={source}", f"dst={target}", how)))


def _hand_over(file: Path, folder: Path) -> None:
    """Have a file of the run lie in a node's own folder, and be found where it was all the same."""
    if file.is_symlink():
        return
    own = folder / file.name
    if file.exists():
        for each in file.parent.glob(f"{file.name}*"):
            each.rename(folder / each.name)
    file.symlink_to(own.relative_to(file.parent))


@contextlib.asynccontextmanager
async def containers(guard: Guard, run: RunDirectory) -> AsyncIterator[ContainerLauncher]:
    """What starts the nodes of a run as containers, inside the block; none of them is left after it.

    Raises:
        SpecError: There is no engine, or it is not of this machine, or there is no image of this code.
        LaunchError: The engine does not do what it is asked.
    """
    if any(mark in str(run.path) for mark in ",\n"):
        raise SpecError(
            f"{run.path} cannot be shown to containers: its name has a comma or a line's end in it",
            "name another directory with --out",
        )
    engine = await Engine.found(guard)
    await sweep(engine)
    image = await checked_image(engine)
    try:
        run.containers.mkdir(exist_ok=True)
        nodes, trade = await made(engine, run.path), await made(engine, run.path)
        nodes.check_is_here()
        collected = Collected(run.containers, run.history)
        async with task_group() as tasks:
            tasks.daemon(_keep_collecting(collected))
            yield ContainerLauncher(guard, run, engine, image, nodes, trade)
        _bring_home(run, collected)
    finally:
        await remove(engine, run.path)


def _bring_home(run: RunDirectory, collected: Collected) -> None:
    """Have the run's directory as one of processes is, now that no node writes any more."""
    collected.close()
    if collected.refused:
        log.warning("%d lines of the nodes' own histories are left out", collected.refused)
    for file in (run.venue, run.tasks):
        if file.is_symlink():
            own = run.path / file.readlink()  # as we made it, whatever lies there
            file.unlink()
            for each in own.parent.glob(f"{own.name}*"):
                os.chown(each, os.getuid(), os.getgid(), follow_symlinks=False)
                each.rename(file.with_name(each.name))
    shutil.rmtree(run.containers)


async def _keep_collecting(collected: Collected) -> None:
    while True:
        await asyncio.to_thread(collected.collect)
        await asyncio.sleep(COLLECT_S)


async def remove(engine: Engine, run: Path) -> int:
    """Remove all that is of a run; how many things."""
    removed = 0
    for kind, found in (await engine.labelled()).items():
        names = [name for name, of in found if of == run]
        await engine.remove(kind, names)
        removed += len(names)
    return removed


async def sweep(engine: Engine) -> int:
    """Remove all that is of a run whose command is gone; how many things."""
    removed = 0
    for kind, found in (await engine.labelled()).items():
        names = [name for name, of in found if not is_in_use(of)]
        await engine.remove(kind, names)
        removed += len(names)
    return removed
