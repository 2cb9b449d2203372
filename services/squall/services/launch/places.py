"""Where nodes can run. A new place is a file in here, and a line below."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager

from squall.bus.guard import Guard
from squall.services.launch import Launcher
from squall.services.launch.containers import containers
from squall.services.launch.processes import processes
from squall.services.run.directory import RunDirectory

Place = Callable[[Guard, RunDirectory], AbstractAsyncContextManager[Launcher]]
"""What starts the nodes of a run, inside a block, after which none is left."""

PROCESSES = "processes"
"""Where nodes run unless something else is asked for."""

PLACES: Mapping[str, Place] = {PROCESSES: processes, "containers": containers}
