"""The network of a run: one proxy between each node and the broker, and nobody past it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from squall.chaos.errors import HarnessBrokenError
from squall.chaos.proxies import Proxies, Proxy
from squall.services.swarm import Swarm

WATCH_S = 0.5
"""Between two looks for nodes that reach the broker past their proxies."""

_ESTABLISHED = "01"


class Network:
    """Makes a node's proxy when the node is first given its way to the broker."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._ways: dict[str, Proxy] = {}
        self._making = asyncio.Lock()

    async def route(self, node: str, url: str) -> str:
        """The URL of the node's proxy before the broker at ``url``; the same over the node's restarts.

        Raises:
            ChaosError: The proxy cannot be made.
        """
        async with self._making:
            if node not in self._ways:
                self._ways[node] = await self._proxies.create(node, url.removeprefix("nats://"))
        return f"nats://{self._ways[node].address}"

    def way(self, node: str) -> Proxy:
        """The node's proxy.

        Raises:
            LookupError: It has none.
        """
        try:
            return self._ways[node]
        except KeyError:
            raise LookupError(f"{node} has no proxy") from None

    async def watch(self, swarm: Swarm) -> None:
        """Look again and again whether a node reaches the broker past its proxy.

        Raises:
            HarnessBrokenError: One does.
        """
        while True:
            port = int(swarm.own_broker.url.rsplit(":", 1)[1])
            for node, unit in swarm.units.items():
                if reaches(int(unit.id), port):
                    raise HarnessBrokenError(f"{node} reached the broker at port {port} past its proxy")
            await asyncio.sleep(WATCH_S)


def reaches(pid: int, port: int) -> bool:
    """Whether a process of this machine has a connection to a local port. False where /proc does not tell."""
    here = set(_sockets(pid))
    wanted = f":{port:04X}"
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            columns = line.split()
            remote, state, inode = columns[2], columns[3], columns[9]
            if remote.endswith(wanted) and state == _ESTABLISHED and inode in here:
                return True
    return False


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
