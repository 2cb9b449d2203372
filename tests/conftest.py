"""What all tests share: how they are spread over workers, and how one has the machine for itself.

    slow tests ──┐                           ┌─ worker 1 ─┐
    other tests ─┼─ in this order, by group ─┤            ├─ then those marked ``alone``, one by one
                 ┘                           └─ worker 2 ─┘

Tests of one ``xdist_group`` share something that is dear, such as a series, and so a worker.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

WORKERS = 2
"""Most tests wait for something most of the time. With more, swarms would wait for each other."""

ALONE = "alone"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Spread the tests over workers, unless they are of one file, or ``-n`` says how many there are to be."""
    option = config.option
    if getattr(option, "numprocesses", 0) is not None or hasattr(config, "workerinput"):
        return  # without xdist, or as the command line says, or one of the workers
    asked = {argument.partition("::")[0] for argument in config.args}
    if option.usepdb or option.collectonly or (len(asked) == 1 and Path(*asked).is_file()):
        return
    option.numprocesses = WORKERS
    option.dist = "loadgroup"
    option.loadscopereorder = False  # keep the order below


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no worker waits for one at the end; those that measure last, together."""
    for item in items:
        if item.get_closest_marker(ALONE):
            item.add_marker(pytest.mark.xdist_group(ALONE))
    items.sort(key=_turn)


def _turn(item: pytest.Item) -> int:
    if item.get_closest_marker(ALONE):
        return 2
    return 0 if item.get_closest_marker("slow") else 1


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Let a test marked ``alone`` begin when the other workers are idle, and keep them so until it ends."""
    if not hasattr(item.config, "workerinput") or not hasattr(item.config, "cache"):
        return (yield)
    folder = item.config.cache.mkdir("alone")
    with _held(folder, fcntl.LOCK_EX if item.get_closest_marker(ALONE) else fcntl.LOCK_SH):
        return (yield)


@contextlib.contextmanager
def _held(folder: Path, how: int) -> Iterator[None]:
    """Hold a lock of all workers. Who wants it alone waits for those who have it, and nobody overtakes."""
    with (folder / "queue").open("w") as queue, (folder / "lock").open("w") as lock:
        fcntl.flock(queue, fcntl.LOCK_EX)
        fcntl.flock(lock, how)
        fcntl.flock(queue, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


# A busy machine is no reason to fail.
settings.register_profile("squall", deadline=None)
settings.load_profile("squall")
