"""What can go wrong in the harness.

    ChaosError                   a branch of `SquallError`, which carries kind, remedy and exit code
    ├── NotARunError             this directory holds no run (exit 2)
    ├── FaultError               this fault cannot be asked for; nothing was changed (exit 2)
    ├── PortTakenError           nothing was started (exit 2)
    ├── UnverifiedError          a change to a proxy may be in force, or may yet come (exit 4)
    ├── HandlerError            somebody's handler cannot be simulated (exit 1)
    ├── LostError               a process that simulates has ended (exit 4)
    └── HarnessBrokenError       Toxiproxy cannot be had, or is no more (exit 4)

What is wrong with the evidence of a run is no error: it makes a verdict unknown.
"""

from __future__ import annotations

from squall.bus.errors import SquallError


class ChaosError(SquallError):
    """Base of everything the harness raises."""

    kind = "harness"

    @property
    def sentence(self) -> str:
        return f"harness broken: {self}" if self.kind == "harness" else str(self)


class NotARunError(ChaosError):
    """This directory holds no run."""

    kind = "input"
    exit_code = 2


class FaultError(ChaosError):
    """This fault cannot be asked for; nothing was changed."""

    kind = "input"
    exit_code = 2


class PortTakenError(ChaosError):
    """Somebody else listens at the port that was asked for; nothing was started."""

    kind = "input"
    exit_code = 2


class HandlerError(ChaosError):
    """Somebody's handler cannot be simulated; told as what it is, and not as the swarm's."""

    kind = "handler"
    exit_code = 1


class LostError(ChaosError):
    """A process that simulates has ended; what it had is lost, and says nothing about the swarm."""

    kind = "simulation"


class UnverifiedError(ChaosError):
    """A change to a proxy may be in force, or may yet come: it was not confirmed, or read back as another.

    Attributes:
        proxy: The name of the proxy.
    """

    def __init__(self, proxy: str, message: str) -> None:
        super().__init__(message, "recreate the proxy to be certain of it again")
        self.proxy = proxy


class HarnessBrokenError(ChaosError):
    """Toxiproxy cannot be had, or is no more: what a run saw from then on proves nothing."""
