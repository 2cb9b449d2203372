"""What all tests share: how they are spread over workers, and what runs beside what.

    series ─┐                       ┌─ worker 1 ─┐
    others ─┼─ in this order, by ───┤            ├─ then those marked ``alone``, one by one
    swarms ─┤  group                └─ worker 2 ─┘
    worlds ─┘

A verdict asks that the machine has time left, so beside a series whose verdict is looked at no other swarm
runs, and no simulated world. Tests of one ``xdist_group`` share something that is dear, such as a broker, and
so a worker; so do those of a file that share a fixture of the file.
"""

from __future__ import annotations

import contextlib
import fcntl
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

ALONE = "alone"
SERIES = "series"
SWARM = "swarm"
SIMULATION = "simulation"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Start no workers for the tests of one file or for a debugger, unless the command line says how many."""
    asked = {argument.partition("::")[0] for argument in config.args}
    given = config.invocation_params.args
    said = any(str(argument).startswith(("-n", "--numprocesses")) for argument in given)
    one_file = len(asked) == 1 and Path(*asked).is_file()
    if (one_file or config.option.usepdb) and not said and not hasattr(config, "workerinput"):
        config.option.numprocesses = 0


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put each into its group and its turn; long ones first, so that no worker waits for one at the end."""
    for item in items:
        if item.get_closest_marker(ALONE):
            item.add_marker(pytest.mark.xdist_group(ALONE))
        elif _judges_series(item):
            item.add_marker(pytest.mark.xdist_group(SERIES))
        elif isinstance(item, pytest.Function) and not item.get_closest_marker("xdist_group"):
            shared = (defined[-1].scope for defined in item._fixtureinfo.name2fixturedefs.values())
            if "module" in shared:
                item.add_marker(pytest.mark.xdist_group(item.path.stem))
    items.sort(key=_turn)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """See that xdist knows the groups, which it has said nothing about when it did not."""
    if not hasattr(session.config, "workerinput"):
        return
    for item in session.items:
        group = item.get_closest_marker("xdist_group")
        if group is not None and not item.nodeid.endswith(f"@{group.args[0]}"):
            refusal = f"{item.nodeid} is not kept with its group: this pytest-xdist does not fit this pytest"
            # Of a worker that ends here, xdist says no more than that it has ended.
            print(refusal, file=sys.__stderr__, flush=True)
            raise pytest.UsageError(refusal)


def _judges_series(item: pytest.Item) -> bool:
    return SERIES in getattr(item, "fixturenames", ())


def _turn(item: pytest.Item) -> tuple[int, str]:
    if _judges_series(item) and isinstance(item, pytest.Function):
        return 0, str(item.callspec.params[SERIES])  # of one pattern after the other, each run once
    turns = [(ALONE, 5), (SIMULATION, 4), (SWARM, 3), ("slow", 1)]
    return next((turn for marker, turn in turns if item.get_closest_marker(marker)), 2), ""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let a test begin when nothing runs that it must not run beside, and keep that so until it ends."""
    if not hasattr(item.config, "workerinput") or not hasattr(item.config, "cache"):
        return (yield)
    folder = item.config.cache.mkdir("turns")
    alone, swarm, simulation = (item.get_closest_marker(name) for name in (ALONE, SWARM, SIMULATION))
    with contextlib.ExitStack() as held:
        held.enter_context(_held(folder / "machine", fcntl.LOCK_EX if alone else fcntl.LOCK_SH))
        if _judges_series(item):
            held.enter_context(_held(folder / "swarms", fcntl.LOCK_EX))
        elif swarm or simulation:
            held.enter_context(_held(folder / "swarms", fcntl.LOCK_SH))
        return (yield)


@contextlib.contextmanager
def _held(lock: Path, how: int) -> Iterator[None]:
    """Hold a lock of all workers. Who wants it alone waits for those who have it, and nobody overtakes."""
    with lock.with_suffix(".queue").open("w") as queue, lock.open("w") as file:
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(file, how)
        fcntl.flock(queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# A busy machine is no reason to fail.
settings.register_profile("squall", deadline=None)
settings.load_profile("squall")
