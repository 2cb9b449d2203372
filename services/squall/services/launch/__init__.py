"""Three ways to run a node, one protocol. Processes are the default."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from squall.bus.identity import Credentials
from squall.services.node.service import NodeStart, Order, Ready

Mint = Callable[[], Credentials | None]


def nothing_minted() -> None:
    """It connects with what its start says, if anything."""


class Unit(Protocol):
    """One started node.

    Attributes:
        id: What the target calls it: a process id, a container or a sandbox id.
        ready: Its answer once it serves.
        killed_for: Why the launcher killed it of its own accord, in words; empty while it did not.
    """

    id: str
    ready: Ready
    killed_for: str

    async def ended(self) -> int:
        """Wait for its end; its exit status, negative for a signal."""
        ...


class Cable(Protocol):
    """What a node hangs on that has a network of its own."""

    async def pull(self, unit: Unit) -> None:
        """Take a node off the network on which the broker is; nobody is told."""
        ...

    async def plug(self, unit: Unit) -> None:
        """Put it on that network again, at the address that it had."""
        ...

    async def is_out(self, unit: Unit) -> bool:
        """Whether it is seen to be off that network, by another word than its own."""
        ...


class Launcher(Protocol):
    """Starts and handles units.

    Attributes:
        target: Its name in reports: ``processes``, ``containers`` or ``sandboxes``.
        cable: What takes a node off its network; None where nodes have none of their own.
    """

    target: str
    cable: Cable | None

    def host(self, node: str) -> str:
        """The address of this machine as nodes see it: where what leads to a node's broker is to listen, or,
        for the venue's name, what leads to the venue."""
        ...

    async def start(self, start: NodeStart, mint: Mint = nothing_minted) -> Unit:
        """Start a node and wait for its answer.

        Args:
            mint: Asked for what it connects with, once it is there to be told: what was made before might not
                live so long.

        Raises:
            SpecError: It says that what it was given is unusable.
            LaunchError: It did not start.
        """
        ...

    async def tell(self, unit: Unit, order: Order) -> None:
        """Give a running node an order; one that has ended misses it."""
        ...

    async def halted(self, unit: Unit) -> str | None:
        """Wait until a node stands still where it was told to halt; the point, or None if it has ended."""
        ...

    async def freeze(self, unit: Unit) -> bool:
        """Stop it in its tracks, as it is; True once it is seen to stand still."""
        ...

    async def thaw(self, unit: Unit) -> bool:
        """Let it go on; True once it is seen to."""
        ...

    async def stands_still(self, unit: Unit) -> bool:
        """Whether it is seen to stand still, by another word than its own."""
        ...

    async def goes_on(self, unit: Unit) -> bool:
        """Whether it is seen not to stand still, by another word than its own."""
        ...

    def memory_kib(self, unit: Unit) -> int | None:
        """What it holds of the machine's memory; None if that cannot be told."""
        ...

    async def kill(self, unit: Unit) -> None:
        """End it at once, without a word to it."""
        ...

    async def stop(self, unit: Unit, *, grace_s: float) -> None:
        """Ask it to drain and end; kill it if it takes longer."""
        ...

    def forget(self, unit: Unit) -> None:
        """It has ended."""
        ...
