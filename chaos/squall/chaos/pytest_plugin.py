"""Fixtures for pytest: a swarm of one's own handler, and a nemesis to break it.

    async def decide(task): ...                      # at the top of the test file

    @pytest.mark.squall(handler=decide, rate_per_s=200)
    async def test_survives_a_dead_leader(swarm, nemesis):
        async with nemesis.blackhole("leader"):
            await swarm.progress(200)
        result = await swarm.finish()
        assert result.lost == 0

A test that asks for ``swarm`` or ``nemesis`` is run by this plugin, in an event loop of its own. It begins in
a steady state. When it ends, everything is healed, drained and judged. A check that fails, fails it, and so
does one that cannot say, but for those of what need not happen in each run (a fail-over, refusals, a fault to
recover from). ``@pytest.mark.squall(excused=["U1"])`` says which checks a test does not ask for,
``pattern=`` which pattern the swarm has.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from squall.chaos.evidence.model import History
    from squall.chaos.inject.nemesis import Nemesis
    from squall.services.run.result import Result
    from squall.services.run.spec import Spec

PROGRESS_S = 60.0


class SwarmUnderTest:
    """The swarm of one test.

    Attributes:
        path: The directory of its run.
        excused: Ids of the checks that the test does not ask for.
    """

    def __init__(self, spec: Spec, path: Path, excused: Sequence[str] = ()) -> None:
        self.spec = spec
        self.path = path
        self.excused = excused
        self._nemesis: Nemesis | None = None
        self._ending = AsyncExitStack()
        self._result: Result | None = None

    async def progress(self, tasks: int, *, timeout_s: float = PROGRESS_S) -> None:
        """Wait until so many more tasks have ended.

        Raises:
            TimeoutError: They did not, in time.
        """
        nemesis = self.nemesis
        begun = await nemesis.ended()
        async with asyncio.timeout(timeout_s):
            while await nemesis.ended() < begun + tasks:
                await asyncio.sleep(0.1)

    async def finish(self) -> Result:
        """End the load, drain, read everything back, judge; the result.

        Raises:
            HarnessBrokenError: The harness broke, so there is none.
        """
        from squall.chaos.tell.documents import judge

        if self._result is None:
            self._nemesis = None
            await self._ending.aclose()
            self._result = judge(self.path)
        return self._result

    def history(self) -> History:
        """What happened, once it is finished."""
        from squall.chaos.tell.documents import history_of

        return history_of(self.path)

    @property
    def nemesis(self) -> Nemesis:
        """Who breaks it.

        Raises:
            RuntimeError: It has not been started yet, or has ended.
        """
        if self._nemesis is None:
            raise RuntimeError("the swarm has ended" if self._result else "the swarm is not running")
        return self._nemesis

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Started and steady inside the block, ended after it."""
        from squall.chaos.inject.experiment import experimenting
        from squall.services.run.directory import claim

        async with self._ending as ending:
            directory = ending.enter_context(claim(self.spec, self.path))
            starting = experimenting(self.spec, directory, progress=lambda text: None)
            self._nemesis = await ending.enter_async_context(starting)
            yield
            await self.finish()


class _NemesisOf:
    """The nemesis of a swarm, which is there once the test runs."""

    def __init__(self, swarm: SwarmUnderTest) -> None:
        self._swarm = swarm

    def __getattr__(self, name: str) -> Any:
        return getattr(self._swarm.nemesis, name)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "squall(pattern, handler, excused, **spec): the swarm that the fixtures start"
    )


@pytest.fixture
def swarm(request: pytest.FixtureRequest, tmp_path: Path) -> SwarmUnderTest:
    """A swarm of the handler that ``@pytest.mark.squall(handler=...)`` names, steady when the test begins."""
    from squall.chaos.cli.setup import experiment_of
    from squall.services.cli.main import resolve
    from squall.services.errors import ServiceError
    from squall.services.patterns import DEFAULT

    if not inspect.iscoroutinefunction(request.function):
        raise pytest.UsageError(f"{request.node.name} asks for a swarm, so it must be an async function")
    marker = request.node.get_closest_marker("squall")
    asked = dict(marker.kwargs) if marker else {}
    handler = asked.pop("handler", None)
    pattern = asked.pop("pattern", DEFAULT)
    excused = asked.pop("excused", ())
    if handler is not None:
        asked["handler"] = _named(handler)
    try:
        _check_ids(pattern, excused)
        spec = resolve(pattern, **{**experiment_of(pattern), **asked})
    except ServiceError as error:
        raise pytest.UsageError("; ".join(filter(None, (str(error), error.remedy)))) from error
    return SwarmUnderTest(spec, tmp_path / "run", excused)


def _check_ids(pattern: str, ids: object) -> None:
    """See that these are ids of checks of a pattern.

    Raises:
        UsageError: There is no such check.
        SpecError: The package that brings them is broken.
    """
    from squall.chaos.judge.checks import promises_of

    promises = promises_of(pattern)
    known = [promise.id for promise in promises.promises] if promises is not None else []
    if not isinstance(ids, list | tuple) or not all(check in known for check in ids):
        raise pytest.UsageError(f"excused is {ids!r}, not a list of checks; there are {', '.join(known)}")


@pytest.fixture
def nemesis(swarm: SwarmUnderTest) -> _NemesisOf:
    """Breaks the test's swarm: ``async with nemesis.blackhole("leader"): ...``."""
    return _NemesisOf(swarm)


def _named(handler: str | Callable[..., Any]) -> str:
    """What another process finds a handler by.

    Raises:
        UsageError: It cannot be found from there.
    """
    if isinstance(handler, str):
        return handler
    name = getattr(handler, "__qualname__", repr(handler))
    if "<" in name or "." in name or not hasattr(handler, "__code__"):
        raise pytest.UsageError(
            f"the handler {name} is made inside another function or class, where the agents cannot find it; "
            "define it with def at the top of a file"
        )
    return f"{Path(handler.__code__.co_filename).absolute()}:{name}"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run the tests that ask for a swarm; leave the others to whoever runs them."""
    under_test = pyfuncitem.funcargs.get("swarm") or _of(pyfuncitem.funcargs.get("nemesis"))
    if not isinstance(under_test, SwarmUnderTest):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    result = asyncio.run(_conduct(pyfuncitem.obj, arguments, under_test))
    said = complaints(result, under_test.excused)
    if said:
        from squall.bus.border import printable
        from squall.services.printing import SENTENCE_LENGTH_MAX

        lines = [printable(line, SENTENCE_LENGTH_MAX) for line in said]
        pytest.fail("\n".join([*lines, f"the run: {under_test.path}"]), pytrace=False)
    return True


def complaints(result: Result, excused: Sequence[str]) -> list[str]:
    """Why a test fails by its checks, in lines; none if it passes. Pure.

    A check that cannot say is a complaint, unless it is of what need not happen; so is that nothing passed.
    """
    from squall.chaos.judge.series import is_sometimes

    asked = [check for check in result.checks if check.id not in excused]
    failed = [check for check in asked if check.verdict == "fail"]
    unsure = [
        check for check in asked if check.verdict == "unknown" and not is_sometimes(result.pattern, check.id)
    ]
    said = [f"{check.id} {check.name}: {check.verdict}: {check.detail}" for check in [*failed, *unsure]]
    if not said and not any(check.verdict == "pass" for check in asked):
        said.append("no check passed, so nothing was shown")
    return said


def _of(nemesis: object) -> SwarmUnderTest | None:
    return nemesis._swarm if isinstance(nemesis, _NemesisOf) else None


async def _conduct(test: Callable[..., Any], arguments: dict[str, Any], under_test: SwarmUnderTest) -> Result:
    async with under_test.running():
        await test(**arguments)
    return await under_test.finish()
