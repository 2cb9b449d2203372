"""Networks of the container engine that lead nowhere else, and what takes a container off one."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from squall.services.errors import LaunchError, SpecError
from squall.services.launch import Unit
from squall.services.launch.engine import LABEL, Engine, EngineError

log = logging.getLogger("squall")

NETWORKS_TRIED_MAX = 5
"""Networks whose addresses may be taken by somebody else in the moment in which they are made."""


@dataclass(frozen=True)
class Network:
    """A network of the engine that leads nowhere else.

    Attributes:
        subnet: Its addresses.
    """

    name: str
    subnet: ipaddress.IPv4Network

    @property
    def gateway(self) -> str:
        """This machine's address in it."""
        return str(self.subnet[1])

    def address(self, number: int) -> str:
        """One of its other addresses; they come again after as many as there are."""
        return str(self.subnet[2 + number % (self.subnet.num_addresses - 3)])

    def check_is_here(self) -> None:
        """See that it ends at this machine.

        Raises:
            SpecError: It does not.
        """
        try:
            with socket.socket() as tried:
                tried.bind((self.gateway, 0))
        except OSError as error:
            raise SpecError(
                f"the container engine is not on this machine: its network ends at {self.gateway}, which is "
                "no address of ours",
                "run Squall where the engine runs",
            ) from error


class Hangs(NamedTuple):
    """A container on a network.

    Attributes:
        name: What the engine calls it.
        address: Where it is to be.
        pid: A process in it, as this machine counts.
    """

    name: str
    address: str
    pid: int


class NetworkCable:
    """What containers hang on; see `squall.services.launch.Cable`."""

    def __init__(self, engine: Engine, network: Network, hanging: Callable[[Unit], Hangs]) -> None:
        self._engine = engine
        self._network = network
        self._hanging = hanging

    async def pull(self, unit: Unit) -> None:
        with contextlib.suppress(EngineError):  # it has ended, or is off already; `is_out` tells
            name = self._hanging(unit).name
            await self._engine.ask("network", "disconnect", "--force", self._network.name, name)

    async def plug(self, unit: Unit) -> None:
        node = self._hanging(unit)
        with contextlib.suppress(EngineError):
            await self._engine.ask("network", "connect", "--ip", node.address, self._network.name, node.name)

    async def is_out(self, unit: Unit) -> bool:
        node = self._hanging(unit)
        form = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}"
        try:
            on = (await self._engine.ask("inspect", "--format", form, node.name)).split()
        except EngineError:
            return False
        return self._network.name not in on and not _leads_to(node.pid, self._network.subnet)


async def made(engine: Engine, run: Path) -> Network:
    """A new network of a run, with addresses that a container may be given.

    The engine chooses addresses that nothing else has; that a container keeps one it allows only in a network
    whose addresses it was told.

    Raises:
        LaunchError: It does not make one.
    """
    for _ in range(NETWORKS_TRIED_MAX):
        name = f"squall-{secrets.token_hex(4)}"
        create = ("network", "create", "--internal", "--label", f"{LABEL}={run}")
        await engine.ask(*create, name)
        found = json.loads(await engine.ask("network", "inspect", name))[0]["IPAM"]["Config"][0]
        await engine.ask("network", "rm", name)
        network = Network(name, ipaddress.IPv4Network(found["Subnet"]))
        try:
            await engine.ask(*create, "--subnet", str(network.subnet), "--gateway", network.gateway, name)
        except EngineError as error:
            log.info("the addresses %s were taken meanwhile: %s", network.subnet, error)
            continue
        return network
    raise LaunchError("the engine has no addresses for a network", "remove networks that nobody uses")


def _leads_to(pid: int, subnet: ipaddress.IPv4Network) -> bool:
    """Whether a process has a route to a network, by its kernel's table."""
    try:
        lines = Path(f"/proc/{pid}/net/route").read_text().splitlines()[1:]
    except OSError:
        return False
    wanted = f"{int.from_bytes(subnet.network_address.packed, 'little'):08X}"
    return any(line.split()[1] == wanted for line in lines)
