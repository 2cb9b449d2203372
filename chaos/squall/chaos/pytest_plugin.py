"""Fixtures for pytest: a swarm of one's own handler, and a nemesis to break it.

    async def decide(task): ...                      # at the top of a file

    @pytest.mark.squall(handler=decide, rate_per_s=50)
    async def test_survives_a_dead_leader(swarm, nemesis):
        async with nemesis.blackhole("leader"):
            await swarm.progress(100)
        result = await swarm.finish()
        assert result.lost == 0

A test that asks for ``swarm`` or ``nemesis`` is run by this plugin, in an event loop of its own, whatever
other plugin has a mark on it. It begins in a steady state. When it ends, everything is healed, drained and
judged. A check that fails, fails it, and so does one that cannot say, but for those of what need not happen
in each run (a fail-over, refusals, a fault to recover from). ``@pytest.mark.squall(excused=["U1"])`` says
which checks a test does not ask for, ``pattern=`` which pattern the swarm has.

This file is loaded by every pytest here; what it needs for a swarm it imports when there is one.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

if TYPE_CHECKING:
    from squall.chaos.testing.failures import Whereabouts
    from squall.chaos.testing.faults import Faults
    from squall.chaos.testing.swarm import SwarmUnderTest

MARK = "squall"
FIXTURES = {"swarm", "nemesis"}

UNDER_TEST: pytest.StashKey[SwarmUnderTest] = pytest.StashKey()
TEST: pytest.StashKey[Callable[..., Any]] = pytest.StashKey()
"""The test's function as it was before another plugin put its own way to run it in its place."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "squall(pattern, handler, excused, **spec): the swarm that the fixtures start"
    )


def pytest_pycollect_makeitem(collector: pytest.Module | pytest.Class, name: str, obj: object) -> None:
    """Refuse a mark that a handler got, as from ``@pytest.mark.squall(decide)``: its test would vanish."""
    marks = getattr(obj, "pytestmark", None) if inspect.isfunction(obj) else None
    marked = isinstance(marks, list) and any(mark.name == MARK for mark in marks)
    if marked and not collector.istestfunction(obj, name):
        raise collector.CollectError(
            f"{name} is no test, and is marked squall; name a handler with its keyword: "
            f"@pytest.mark.squall(handler={name})"
        )


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a test that is marked itself, and asks for no swarm: it would show nothing."""
    marked = any(mark.name == MARK for mark in item.own_markers)
    if marked and not FIXTURES & set(getattr(item, "fixturenames", ())):
        _refuse(f"{item.name} is marked squall, and asks for no swarm; take swarm or nemesis as an argument")


@pytest.fixture
def swarm(request: pytest.FixtureRequest, tmp_path: Path) -> SwarmUnderTest:
    """A swarm of the handler that ``@pytest.mark.squall(handler=...)`` names, steady when the test begins."""
    from squall.bus.errors import SquallError
    from squall.chaos.testing.asking import asked_for
    from squall.chaos.testing.failures import in_one

    item, test = request.node, getattr(request.node, "obj", None)
    if test is None or not inspect.iscoroutinefunction(test):
        _refuse(f"{item.name} asks for a swarm, so it must be an async function; write async def")
    try:
        under_test = asked_for(item.get_closest_marker(MARK), request.module, tmp_path / "run")
    except SquallError as error:
        raise pytest.fail.Exception(in_one(str(error), error.remedy), pytrace=False) from None
    item.stash[TEST] = test
    item.stash[UNDER_TEST] = under_test
    return under_test


@pytest.fixture
def nemesis(swarm: SwarmUnderTest) -> Faults:
    """Breaks the test's swarm: ``async with nemesis.blackhole("leader"): ...``."""
    return swarm.faults


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Put a function in the test's place that runs it with its swarm, and is not async, so that whoever runs
    async tests passes it by. A wrapper comes before all who might run it."""
    under_test = pyfuncitem.stash.get(UNDER_TEST, None)
    if under_test is None:
        return (yield)
    from squall.chaos.testing.conduct import conduct

    test, whereabouts = pyfuncitem.stash[TEST], _whereabouts(pyfuncitem, under_test)
    _skip_elsewhere(pyfuncitem)

    def run(**arguments: Any) -> None:
        __tracebackhide__ = True
        conduct(functools.partial(test, **arguments), under_test, whereabouts)

    replaced = pyfuncitem.obj
    pyfuncitem.obj = run
    try:
        return (yield)
    finally:
        pyfuncitem.obj = replaced


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test whose swarm nobody has started has shown nothing."""
    done = yield
    under_test = item.stash.get(UNDER_TEST, None)
    if under_test is not None and not under_test.has_begun:
        _refuse(
            f"{item.name} passed without its swarm, which was never started; have it run by pytest itself, "
            "and take swarm or nemesis as an argument"
        )
    return done


def _skip_elsewhere(item: pytest.Function) -> None:
    """Skip what anyio would have run in another kind of loop."""
    backend = item.funcargs.get("anyio_backend", "asyncio")
    name = backend[0] if isinstance(backend, tuple) else backend
    if name != "asyncio":
        pytest.skip(f"a swarm is driven from asyncio, and this is for {name}")


def _whereabouts(item: pytest.Function, under_test: SwarmUnderTest) -> Whereabouts:
    from squall.chaos.testing.failures import Whereabouts

    group = item.get_closest_marker("xdist_group")
    test = item.nodeid.removesuffix(f"@{group.args[0]}") if group and group.args else item.nodeid
    seed = item.config.getoption("randomly_seed", None)
    return Whereabouts(
        run=under_test.path,
        test=item.config.cwd_relative_nodeid(test),
        options=[f"--randomly-seed={seed}"] if isinstance(seed, int) else [],
        seed=under_test.spec.seed,
    )


def _refuse(sentence: str) -> NoReturn:
    __tracebackhide__ = True
    pytest.fail(sentence, pytrace=False)
