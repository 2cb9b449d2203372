"""What can go wrong above the bus.

ServiceError                 a branch of `SquallError`, which carries kind, remedy and exit code
├── SpecError                unusable input: a spec, an option, a handler, a directory (exit 2)
├── LaunchError              a unit did not start or kept dying (exit 4)
├── DiskError                a directory cannot be written, or its disk is full (exit 4)
├── HandlerError             what the handler does leaves a swarm nothing to show (exit 1)
├── SteadyStateError         there was nothing to disturb (exit 3)
└── NothingOfferedError      interrupted before the load began (exit 130)
"""

from __future__ import annotations

from squall.bus.errors import SquallError


class ServiceError(SquallError):
    """Base of everything the services raise."""

    kind = "service"


class SpecError(ServiceError):
    """Unusable input."""

    kind = "input"
    exit_code = 2


class LaunchError(ServiceError):
    """A unit did not start, or kept dying."""

    kind = "launch"


class DiskError(ServiceError):
    """A directory cannot be written, or its disk is full."""

    kind = "disk"


class HandlerError(ServiceError):
    """Next to nothing comes of what the handler is given: it raises, or returns what cannot be used."""

    kind = "handler"
    exit_code = 1


class SteadyStateError(ServiceError):
    """The swarm does not work undisturbed, so there is nothing to disturb."""

    kind = "steady-state"
    exit_code = 3


class NothingOfferedError(ServiceError):
    """The user wanted an end before the load began."""

    kind = "interrupted"
    exit_code = 130
