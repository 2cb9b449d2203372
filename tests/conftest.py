"""What all tests share: how they are spread over workers, and how one has the machine for itself.

    slow tests ──┐                           ┌─ worker 1 ─┐
    other tests ─┼─ in this order, by group ─┤            ├─ then those marked ``alone``, one by one
                 ┘                           └─ worker 2 ─┘

Tests of one ``xdist_group`` share something that is dear, such as a series, and so a worker; so do those of a
file that share a fixture of the file.
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
    """The long ones first, so that no worker waits for one at the end; those that measure last, together."""
    for item in items:
        if item.get_closest_marker(ALONE):
            item.add_marker(pytest.mark.xdist_group(ALONE))
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
