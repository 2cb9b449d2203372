"""The network of a run: one proxy between each node and the broker, one before the venue, none past them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from squall.chaos.errors import HarnessBrokenError, UnverifiedError
from squall.chaos.inject.probe import ProbeResult, probe, probe_venue
from squall.chaos.inject.toxiproxy.access import Access
from squall.chaos.inject.toxiproxy.proxies import Proxies, Proxy
from squall.services.patterns.pattern import VENUE
from squall.services.run.swarm import Swarm

WATCH_S = 0.5
"""Between two looks for nodes that reach the broker past their proxies."""

SAID_MAX = 20
"""Kinds of interference that are noted of one run; one is enough to doubt it."""

_ESTABLISHED = "01"


class Network:
    """Makes a node's proxy when the node is first given its way to the broker.

    Args:
        server: The process that the proxies run in.
    """

    def __init__(self, proxies: Proxies, access: Access, server: int) -> None:
        self._proxies = proxies
        self._access = access
        self._server = server
        self._said: set[str] = set()
        self._ways: dict[str, Proxy] = {}
        self._making = asyncio.Lock()

    async def route(self, node: str, url: str, host: str) -> str:
        """The URL of the node's proxy before what is at ``url``; the same over the node's restarts.

        Args:
            host: The address of this machine at which the proxy listens.

        Raises:
            ChaosError: The proxy cannot be made.
        """
        async with self._making:
            scheme, _, address = url.partition("://")
            if node not in self._ways:
                self._ways[node] = await self._proxies.create(node, address, host)
        return f"{scheme}://{self._ways[node].address}"

    def way(self, node: str) -> Proxy:
        """The node's proxy.

        Raises:
            LookupError: It has none.
        """
        try:
            return self._ways[node]
        except KeyError:
            raise LookupError(f"{node} has no proxy") from None

    async def probe(self, node: str, timeout_s: float) -> ProbeResult:
        """What somebody feels who goes the node's way to the broker, or the way to the venue."""
        ask = probe_venue if node == VENUE else probe
        return await ask(self.way(node).address, timeout_s=timeout_s)

    async def watch(self, swarm: Swarm) -> None:
        """Look again and again whether a node reaches the broker past its proxy.

        At somebody else's broker others may have business, handlers of agents among them; there the other
        nodes are looked at, as far as they show their descriptors.

        Nodes show their descriptors to the superuser alone. To others a connection to the broker that is
        neither ours nor the proxies' tells as much, but for whose it is. It must be seen twice: one may close
        between a look at the connections and one at the processes.

        Raises:
            HarnessBrokenError: One does.
        """
        before: set[str] = set()
        while True:
            port = int(swarm.url.rsplit(":", 1)[1])
            agents = () if swarm.owns_broker else swarm.agents()
            for node, unit in swarm.units.items():
                # A node that is no process of this machine has no way to a loopback address of it at all.
                if node not in agents and unit.id.isdigit() and reaches(int(unit.id), port):
                    raise HarnessBrokenError(f"{node} reached the broker at port {port} past its proxy")
            if not swarm.owns_broker:
                await asyncio.sleep(WATCH_S)
                continue
            strangers = connected(port)
            strangers.difference_update(_sockets(os.getpid()), _sockets(self._server))
            if strangers & before:
                raise HarnessBrokenError(f"something reached the broker at port {port} past the proxies")
            before = strangers
            await asyncio.sleep(WATCH_S)

    async def watch_others(self, note: Callable[[str], None]) -> None:
        """Look again and again whether somebody else uses Toxiproxy, or changed what we set; note it once.

        Raises:
            HarnessBrokenError: Toxiproxy does not answer.
        """
        while True:
            await self.look_for_others(note)
            await asyncio.sleep(WATCH_S)

    async def look_for_others(self, note: Callable[[str], None]) -> None:
        """Look once; see `watch_others`."""
        found = self._access.strangers()
        with contextlib.suppress(UnverifiedError):  # a proxy that is stuck; it will say so later
            found += await self._proxies.differences()
        for said in found:
            if said not in self._said and len(self._said) < SAID_MAX:
                self._said.add(said)
                note(said)


def reaches(pid: int, port: int) -> bool:
    """Whether a process of this machine has a connection to a local port. False where /proc does not tell."""
    return not connected(port).isdisjoint(_sockets(pid))


def connected(port: int) -> set[str]:
    """The inodes of this machine's sockets that are connected to a port."""
    found = set()
    wanted = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/self/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            remote, state, inode = columns[2], columns[3], columns[9]
            if remote.endswith(wanted) and state == _ESTABLISHED:
                found.add(inode)
    return found


def _sockets(pid: int) -> Iterator[str]:
    """The inodes of a process's sockets."""
    try:
        handles = list(Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return
    for handle in handles:
        try:
            name = str(handle.readlink())
        except OSError:
            continue
        if name.startswith("socket:["):
            yield name[len("socket:[") : -1]
