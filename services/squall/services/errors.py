"""What can go wrong above the bus.

ServiceError                 carries kind, remedy and the exit code it means for a command
├── SpecError                unusable input: a spec, an option, a handler, a directory (exit 2)
├── LaunchError              a unit did not start or kept dying (exit 4)
├── DiskError                a directory cannot be written, or its disk is full (exit 4)
└── SteadyStateError         there was nothing to disturb (exit 3)
"""

from __future__ import annotations


class ServiceError(Exception):
    """Base of everything the services raise.

    Attributes:
        kind: A short name for programs.
        remedy: What to do about it.
        code: Exit code of a command that ends with it.
    """

    kind = "service"
    code = 4

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message)
        self.remedy = remedy


class SpecError(ServiceError):
    """Unusable input."""

    kind = "input"
    code = 2


class LaunchError(ServiceError):
    """A unit did not start, or kept dying."""

    kind = "launch"


class DiskError(ServiceError):
    """A directory cannot be written, or its disk is full."""

    kind = "disk"


class SteadyStateError(ServiceError):
    """The swarm does not work undisturbed, so there is nothing to disturb."""

    kind = "steady-state"
    code = 3
