"""The faults of a test, each a method: ``async with nemesis.crash("leader"): ...``.

nemesis.crash("leadr")                      refused where it stands
nemesis.crash("leader")                     never entered: told when the test ends
async with nemesis.crash("leader"): ...     in force inside the block
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from types import FrameType, TracebackType
from typing import Any, NoReturn

from squall.bus.errors import SquallError
from squall.chaos.errors import FaultError
from squall.chaos.inject.faults.catalogue import FAULTS, make
from squall.chaos.inject.force import Strike
from squall.chaos.inject.nemesis import LEASE_S, PATIENCE, Nemesis
from squall.chaos.plan.schedule import Interval, Schedule, check
from squall.chaos.plan.surface import surface_of
from squall.chaos.testing.failures import bare, in_one
from squall.services.run.spec import Spec
from squall.services.run.swarm_toml import nearest

OF_NEMESIS = ("ended", "end_load", "all_ended", "logged", "causes")
"""What of `Nemesis` is no fault."""


class FaultOfTest:
    """A fault that a test asked for. It is in force inside ``async with``, which gives its `Strike`.

    Attributes:
        words: The call, as it could stand in a test.
        place: Where it stands, ``file:line``.
        is_used: Whether it was entered.
    """

    def __init__(
        self,
        words: str,
        place: str,
        target: str,
        point: str,
        held: Callable[[], AbstractAsyncContextManager[Strike]],
    ) -> None:
        self.words = words
        self.place = place
        self.is_used = False
        self._target = target
        self._point = point
        self._hold = held
        self._held: AbstractAsyncContextManager[Strike] | None = None

    @property
    def remedy(self) -> str:
        return f"write: async with {self.words}: …"

    async def __aenter__(self) -> Strike:
        __tracebackhide__ = True
        self.is_used = True
        self._held = self._hold()
        try:
            return await self._held.__aenter__()
        except SquallError as error:
            raise bare(error) from None
        except TimeoutError:
            late = f"{self._target} was not there, and free of other faults, within {PATIENCE.there_s:g} s"
            if self._point:
                late += f", or did not reach {self._point} within {PATIENCE.point_s:g} s"
            raise TimeoutError(late) from None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        __tracebackhide__ = True
        assert self._held is not None
        try:
            return await self._held.__aexit__(kind, error, trace)
        except SquallError as raised:
            if raised is error:
                raise
            raise bare(raised) from None

    def __enter__(self) -> NoReturn:
        __tracebackhide__ = True
        raise FaultError(in_one(f"{self.words} was entered with a plain with", self.remedy))

    def __exit__(self, *_: object) -> None:
        """There is none, as nothing enters so."""

    def __await__(self) -> NoReturn:
        __tracebackhide__ = True
        raise FaultError(in_one(f"{self.words} was awaited, and is in force in a block", self.remedy))


class Faults:
    """What the fixture ``nemesis`` is: the `Nemesis` of a test's swarm, and an eye on forgotten faults.

    Args:
        spec: The swarm's.
        nemesis: Gives it, while the swarm runs.
    """

    def __init__(self, spec: Spec, nemesis: Callable[[], Nemesis]) -> None:
        self._surface = surface_of(spec)
        self._nemesis = nemesis
        self._made: list[FaultOfTest] = []

    def __getattr__(self, name: str) -> Any:
        __tracebackhide__ = True
        fault = name.replace("_", "-")
        if fault in FAULTS:

            def struck(target: str = "", **how: Any) -> FaultOfTest:
                __tracebackhide__ = True
                return self._struck(sys._getframe(1), name, fault, target, how)

            return struck
        if name in OF_NEMESIS:
            return getattr(self._nemesis(), name)
        known = [*(each.replace("-", "_") for each in FAULTS), "strike", *OF_NEMESIS]
        raise AttributeError(f"there is no fault {name!r}{nearest(name, known)}")

    def strike(
        self,
        name: str,
        target: str = "",
        *,
        point: str = "",
        nth: int = 1,
        lease_s: float = LEASE_S,
        magnitude: Mapping[str, int] | None = None,
    ) -> FaultOfTest:
        """A fault by its name; see `Nemesis.strike`."""
        __tracebackhide__ = True
        how = {"point": point, "nth": nth, "lease_s": lease_s, **(magnitude or {})}
        return self._struck(sys._getframe(1), name.replace("-", "_"), name, target, how)

    def forgotten(self) -> list[str]:
        """In a sentence each, the faults that were asked for and never entered."""
        return [
            in_one(f"{fault.words} at {fault.place} was never in force", fault.remedy)
            for fault in self._made
            if not fault.is_used
        ]

    def _struck(
        self, caller: FrameType, method: str, name: str, target: str, how: Mapping[str, Any]
    ) -> FaultOfTest:
        __tracebackhide__ = True
        magnitude = {each: value for each, value in how.items() if each not in ("point", "nth", "lease_s")}
        point, nth, lease_s = how.get("point", ""), how.get("nth", 1), how.get("lease_s", LEASE_S)
        try:
            if not target:
                roles = ", ".join(self._surface.roles)
                raise FaultError(
                    f"{method} does not say whom it strikes", f"there are {roles}, and nodes by name"
                )
            make(name, magnitude)
            interval = Interval(fault=name, target=target, point=point, nth=nth)
            check(Schedule(seed=0, intervals=(interval,)), self._surface)
        except SquallError as error:
            raise bare(error) from None
        shown = ", ".join([repr(target), *(f"{each}={value!r}" for each, value in how.items())])
        fault = FaultOfTest(
            f"nemesis.{method}({shown})",
            f"{caller.f_code.co_filename}:{caller.f_lineno}",
            target,
            point,
            lambda: self._nemesis().strike(
                name, target, point=point, nth=nth, lease_s=lease_s, magnitude=magnitude
            ),
        )
        self._made.append(fault)
        return fault
