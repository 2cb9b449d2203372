"""Where nodes can run. A new place is a file in here, and a line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from squall.bus.guard import Guard
from squall.services.launch import Launcher, containers, processes
from squall.services.run.directory import RunDirectory
from squall.services.run.spec import Spec


@dataclass(frozen=True)
class Place:
    """A place for nodes.

    Attributes:
        check: Told a spec, and the URL of an outside broker or None; raises `SpecError` where such a swarm
            cannot be there.
        open: What starts the nodes of a run there, inside a block, after which none is left.
    """

    check: Callable[[Spec, str | None], None]
    open: Callable[[Guard, RunDirectory], AbstractAsyncContextManager[Launcher]]


PROCESSES = "processes"
"""Where nodes run unless something else is asked for."""

PLACES: Mapping[str, Place] = {
    PROCESSES: Place(processes.check, processes.processes),
    "containers": Place(containers.check, containers.containers),
}
