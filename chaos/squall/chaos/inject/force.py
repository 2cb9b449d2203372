"""One fault at some nodes: put in force, seen to be, held, seen to be still, healed, seen to be healed.

    inject ─► seen in force ─► … ─► still in force? ─► heal ─► seen healed
                                │
                       the block ends, or the lease

Where something goes wrong at one node, the others are stopped, and all are healed, before it is raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from squall.bus.tasks import task_group
from squall.chaos.errors import UnverifiedError
from squall.chaos.inject.faults.fault import Fault, Site
from squall.services.patterns.pattern import VENUE
from squall.services.run.directory import RunDirectory

T = TypeVar("T")


NOT_SEEN = "it was not seen in force"
SPARED = "nothing came there that it could have struck"
"""Why a fault was not verified; of the second it is known that nothing was done."""


@dataclass
class Strike:
    """One fault in force.

    Attributes:
        nodes: Whom it struck.
        verified: Whether it was seen in force on all of them; and, once it has ended, that it still was
            before it was healed, and healed.
        reason: Why it was not verified, in words.
    """

    nodes: Sequence[str]
    verified: bool
    reason: str = ""

    def doubt(self, reason: str) -> None:
        """It is not verified; the first reason stays."""
        self.verified = False
        self.reason = self.reason or reason


class Force:
    """One fault at its sites, and its lines in ``faults.jsonl``.

    Attributes:
        is_healed: Whether healing it has come to its end without an error.
    """

    def __init__(
        self,
        run: RunDirectory,
        number: int,
        fault: Fault,
        target: str,
        strike: Strike,
        point: str,
        sites: Sequence[Site],
    ) -> None:
        self._run = run
        self._number = number
        self._fault = fault
        self._target = target
        self._strike = strike
        self._point = point
        self._sites = sites
        self._sent_s = time.time()
        self._acknowledged_s: float | None = None
        self._begun = run.history.stat().st_size if run.history.exists() else 0
        self._unseen: set[str] = set()
        self._spared: set[str] = set()
        self._heard: dict[str, list[int]] = {}
        self._turns: asyncio.Task[None] | None = None
        self._healing: asyncio.Task[None] | None = None
        self.is_healed = False

    @contextlib.asynccontextmanager
    async def holding(self, lease_s: float) -> AsyncIterator[None]:
        """In force inside the block, for as long as the lease lasts; healed after it, however it ends.

        Raises:
            ChaosError: It could not be put in force, or may not be healed.
        """
        lease: asyncio.Task[None] | None = None
        try:
            await self._inject()
            self._turns = asyncio.ensure_future(self._take_turns())
            lease = asyncio.ensure_future(self._end_after(lease_s))
            yield
        finally:
            if lease is not None:
                lease.cancel()  # what it has begun goes on
            try:
                await self._end()
            except asyncio.CancelledError:
                assert self._healing is not None
                while not self._healing.done():  # however often it is asked to stop
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.wait({self._healing})
                raise

    async def _inject(self) -> None:
        try:
            await each(self._sites, self._fault.inject)
            self._acknowledged_s = time.time()
            seen = await each(self._sites, self._fault.in_force)
            self._unseen = {site.node for site, is_seen in zip(self._sites, seen, strict=True) if not is_seen}
            self._strike.verified = not self._unseen
            if self._unseen:
                self._strike.doubt(NOT_SEEN)
            await each(self._sites, self._listen)
        except (LookupError, TimeoutError, UnverifiedError) as error:  # perhaps in force, perhaps not
            self._strike.doubt(f"it was not seen in force: {_said(error)}")
        self._acknowledged_s = self._acknowledged_s or time.time()
        self._log(verified_s=time.time())

    async def _take_turns(self) -> None:
        await each(self._sites, self._fault.last)

    async def _end_after(self, lease_s: float) -> None:
        await asyncio.sleep(lease_s)
        await self._end()

    async def _end(self) -> None:
        """Heal once, whoever asks first, and to the end, though who asks is cancelled."""
        self._healing = self._healing or asyncio.ensure_future(self._heal())
        await asyncio.shield(self._healing)

    async def _heal(self) -> None:
        if self._turns is not None:
            self._turns.cancel()
            await asyncio.wait({self._turns})
            if not self._turns.cancelled() and (error := self._turns.exception()) is not None:
                self._strike.doubt(f"it stood still, open or closed: {_said(error)}")
        undone = await self._look_again() if self._strike.verified or self._unseen else ""
        held_s = time.time()
        await every(self._sites, self._heal_for_sure)
        end_s = time.time()
        try:
            healed = all(await each(self._sites, self._fault.healed))
            why = "it was not seen to be healed"
        except (LookupError, TimeoutError) as error:
            healed, why = False, f"it was not seen to be healed: {_said(error)}"
        if healed and self._strike.reason == NOT_SEEN:
            await self._settle()
        for doubt in (undone, "" if healed else why):
            if doubt:
                self._strike.doubt(doubt)
        self._log(held_s=held_s, end_s=end_s, healed_s=time.time())
        self.is_healed = True

    async def _look_again(self) -> str:
        """Why it is in doubt that it still is in force: somebody may have undone it since it was seen."""
        sites = [site for site in self._sites if site.node not in self._unseen]
        try:
            undone = [said for said in await each(sites, self._fault.undone) if said]
        except (LookupError, TimeoutError, UnverifiedError) as error:
            undone = [f"it could not be seen again: {_said(error)}"]
        await each(sites, self._listen)
        undone += [
            f"the broker heard of {node} meanwhile"
            for node, (first, *later) in self._heard.items()
            if any(count > first for count in later)
        ]
        return f"it had been undone before it was healed: {'; '.join(undone)}" if undone else ""

    async def _settle(self) -> None:
        """Learn what became of those at whom it was not seen: it came later, or had nothing to strike."""
        sites = [site for site in self._sites if site.node in self._unseen]
        became = await each(sites, lambda site: self._fault.afterwards(site, self._begun))
        if "unknown" not in became:
            self._spared = {site.node for site, is_so in zip(sites, became, strict=True) if is_so == "spared"}
            self._strike.verified, self._strike.reason = len(self._spared) < len(self._sites), ""

    async def _listen(self, site: Site) -> None:
        """Ask the broker how much it has had from a node that it can hear nothing of."""
        if self._fault.kind.silences and site.node != VENUE:
            count = await site.swarm.heard(site.node)
            if count is not None:
                self._heard.setdefault(site.node, []).append(count)

    async def _heal_for_sure(self, site: Site) -> None:
        """Heal; where it is not known whether a toxic is gone, make the proxy anew."""
        try:
            await self._fault.heal(site)
        except UnverifiedError:
            await site.way.recreate()

    def _log(self, **facts: object) -> None:
        for site in self._sites:
            is_spared = site.node in self._spared
            reason = SPARED if is_spared and not self._strike.reason else self._strike.reason
            self._run.append(
                "faults.jsonl",
                id=f"{self._number}/{site.node}",
                kind=self._fault.name,
                target=self._target,
                node=site.node,
                point=self._point,
                start_s=self._sent_s,
                verified=self._strike.verified and not is_spared,
                **({"spared": True} if is_spared else {}),
                **({} if self._acknowledged_s is None else {"acknowledged_s": self._acknowledged_s}),
                **({"heard": self._heard[site.node]} if site.node in self._heard else {}),
                **facts,
                **({"reason": reason} if reason else {}),
            )


async def each(sites: Sequence[Site], act: Callable[[Site], Awaitable[T]]) -> list[T]:
    """Do it at all sites at once; what each returned. An error at one stops the others, then is raised."""

    async def acted(site: Site) -> T:
        return await act(site)

    try:
        async with task_group() as tasks:
            acting = [tasks.start(acted(site)) for site in sites]
    except BaseExceptionGroup as group:
        raise _gravest(group.exceptions) from group
    return [task.result() for task in acting]


async def every(sites: Sequence[Site], act: Callable[[Site], Awaitable[None]]) -> None:
    """Do it at all sites at once, to the end at each whatever happens at another; then raise an error."""
    ended = await asyncio.gather(*(act(site) for site in sites), return_exceptions=True)
    errors = [error for error in ended if isinstance(error, BaseException)]
    if errors:
        raise _gravest(errors)


def _gravest(errors: Sequence[BaseException]) -> BaseException:
    """The one that says most: whatever is no mere doubt goes before what is."""
    flat = [error for group in errors for error in _leaves(group)]
    return next((e for e in flat if not isinstance(e, LookupError | TimeoutError | UnverifiedError)), flat[0])


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each_error in error.exceptions for leaf in _leaves(each_error)]
    return [error]


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
