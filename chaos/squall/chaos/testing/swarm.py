"""What the fixture ``swarm`` is: the swarm of one test, from its steady state to its verdict."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from squall.bus.errors import SquallError
from squall.chaos.evidence.model import History
from squall.chaos.inject.experiment import experimenting
from squall.chaos.inject.nemesis import Nemesis
from squall.chaos.tell.documents import history_of, judge
from squall.chaos.testing.failures import bare
from squall.chaos.testing.faults import Faults
from squall.services.errors import SpecError
from squall.services.node.service import Origin
from squall.services.run.directory import claim
from squall.services.run.handled import Handled, handled_in
from squall.services.run.result import Result
from squall.services.run.spec import Spec

PROGRESS_S = 60.0


class SwarmUnderTest:
    """The swarm of one test.

    Attributes:
        spec: What it runs.
        path: The directory of its run.
        excused: Ids of the checks that the test does not ask for.
        faults: What the test breaks it with.
        has_begun: Whether it was started.
    """

    def __init__(self, spec: Spec, path: Path, origin: Origin | None, excused: Sequence[str] = ()) -> None:
        self.spec = spec
        self.path = path
        self.excused = excused
        self.faults = Faults(spec, lambda: self.nemesis)
        self.has_begun = False
        self.origin = origin
        self._nemesis: Nemesis | None = None
        self._ending = AsyncExitStack()
        self._result: Result | None = None

    async def progress(self, tasks: int, *, timeout_s: float = PROGRESS_S) -> None:
        """Wait until so many more tasks have ended.

        Raises:
            SpecError: There are not so many.
            TimeoutError: They did not, in time.
        """
        __tracebackhide__ = True
        nemesis = self.nemesis
        begun = ended = await nemesis.ended()
        if begun + tasks > self.spec.tasks:
            there = f"of the swarm's {self.spec.tasks:,} tasks {begun:,} have ended"
            remedy = "raise tasks=, or leave it out"
            raise bare(SpecError(f"{there}, and {tasks:,} more are waited for", remedy))
        try:
            async with asyncio.timeout(timeout_s):
                while (ended := await nemesis.ended()) < begun + tasks:
                    await asyncio.sleep(0.1)
        except TimeoutError:
            said = f"{ended - begun:,} of {tasks:,} more tasks ended in {timeout_s:g} s"
            handled, name = self.handled(), self.spec.handler
            blamed = handled.sentence(name) or handled.unending(name)
            raise TimeoutError(f"{blamed}; {said}" if blamed else said) from None

    async def finish(self) -> Result:
        """End the load, drain, read everything back, judge; the result.

        Raises:
            HarnessBrokenError: The harness broke, so there is none.
        """
        __tracebackhide__ = True
        if self._result is None:
            self._nemesis = None
            try:
                await self._ending.aclose()
                self._result = judge(self.path)
            except SquallError as error:
                raise bare(error) from None
        return self._result

    def history(self) -> History:
        """What happened, once it is finished."""
        return history_of(self.path)

    def handled(self) -> Handled:
        """What came of the tasks that its handler was given, so far."""
        return handled_in(self.path / "history.jsonl")

    @property
    def nemesis(self) -> Nemesis:
        """Who breaks it.

        Raises:
            RuntimeError: It has not been started yet, or has ended.
        """
        __tracebackhide__ = True
        if self._nemesis is None:
            raise RuntimeError(
                "the swarm has ended; what is done to it goes before the test's end and `swarm.finish()`"
                if self.has_begun
                else "the swarm does not run yet; it starts with the test itself, after all of its fixtures"
            )
        return self._nemesis

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Started and steady inside the block, ended after it."""
        async with self._ending as ending:
            directory = ending.enter_context(claim(self.spec, self.path))
            starting = experimenting(self.spec, directory, origin=self.origin, progress=lambda text: None)
            self.has_begun = True
            self._nemesis = await ending.enter_async_context(starting)
            yield
            await self.finish()
