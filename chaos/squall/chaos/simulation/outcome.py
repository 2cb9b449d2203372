"""One schedule, from its seed to what came of it.

seed ─► drawn ─► simulated in a directory ─► judged ─► Outcome
"""

from __future__ import annotations

import gc
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

import msgspec

from squall.bus.errors import SquallError
from squall.chaos.errors import HandlerError
from squall.chaos.model.errors import Unmodelled
from squall.chaos.plan.schedule import Schedule
from squall.chaos.simulation import draw
from squall.chaos.simulation.handlers import anew, forget
from squall.chaos.simulation.loop import WORLD, SimulationError
from squall.chaos.simulation.run import simulate
from squall.chaos.tell.documents import judge
from squall.services.handlers.port import Handling
from squall.services.intake.store import taken_in
from squall.services.run.directory import claim
from squall.services.run.result import HANDLER_CHECK, Check
from squall.services.run.spec import Spec

DEFECT = "D1"
DEFECT_NAME = "no-defect"
"""What is failed by a node that ends by an error which it should have met; only a simulation sees it all."""

HANDLER_NAME = "handler"

Verdict = Literal["pass", "fail", "unknown", "broken"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is simulated of a pattern or a file.

    Attributes:
        spec: The swarm, or what is not drawn of it.
        is_drawn: Whether the swarm is drawn from each seed as well.
        schedule: What is done to it, if it is not drawn.
        tasks, agents: How many, if that is said.
        faults: How many a drawn schedule has.
        preload: A module that nodes load first; see `NodeStart`.
    """

    spec: Spec
    is_drawn: bool = True
    schedule: Schedule | None = None
    tasks: int | None = None
    agents: int | None = None
    faults: int = draw.FAULTS
    preload: str = ""

    def of(self, seed: int) -> tuple[Spec, Schedule]:
        """The swarm and the faults of a seed."""
        if self.is_drawn:
            spec = draw.spec_of(seed, self.spec, tasks=self.tasks or draw.TASKS, agents=self.agents)
        else:
            spec = msgspec.structs.replace(self.spec, seed=seed)
        if self.schedule is not None:
            return spec, msgspec.structs.replace(self.schedule, seed=seed)
        return spec, draw.schedule_of(seed, spec, faults=self.faults)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one schedule.

    Attributes:
        verdict: ``unknown`` if something was exercised and could not be decided; ``broken`` if the simulator
            could not go on, which says nothing of the swarm.
        failed: The checks that failed.
        unknown: Those that could not be decided, though they were exercised.
        passed: The ids of those that passed.
        why: Why it is broken.
        digest: Of all that went to and from the broker; see `SimulatedBroker`.
        accepted, faults: How many tasks, and how many faults were in force.
        virtual_s, took_s: How long it took on its own clock, and of a core.
    """

    seed: int
    verdict: Verdict
    failed: tuple[Check, ...] = ()
    unknown: tuple[Check, ...] = ()
    passed: tuple[str, ...] = ()
    why: str = ""
    digest: str = ""
    accepted: int = 0
    faults: int = 0
    virtual_s: float = 0.0
    took_s: float = 0.0


def outcome(plan: Plan, seed: int, *, out: Path | None = None) -> Outcome:
    """Simulate and judge one schedule.

    Args:
        out: Where its directory stays; without, nothing is left of it.

    Raises:
        HandlerError: A handler of somebody's own does not return.
        SpecError: It cannot be imported.
    """
    begun_s = time.process_time()
    _import(plan.spec.handling)
    found: Outcome | HandlerError
    gc.freeze()  # what was there before is not looked at when the world is collected
    try:
        spec, schedule = plan.of(seed)
        if out is not None:
            found = _in(spec, schedule, out, plan.preload, keep=True)
        else:
            with tempfile.TemporaryDirectory(prefix="squall-", dir=_memory()) as directory:
                found = _in(spec, schedule, Path(directory) / "run", plan.preload, keep=False)
    except HandlerError as error:
        found = HandlerError(str(error), error.remedy)  # one that keeps no world, which is forgotten here
    finally:
        _forget()
        gc.unfreeze()
    if isinstance(found, HandlerError):
        raise found
    return msgspec.structs.replace(found, took_s=time.process_time() - begun_s)


_imported: set[str] = set()


def _import(handling: Handling) -> None:
    """Import a handler as it is, for the libraries that it needs: no world has what these may ask for."""
    if handling.name not in _imported:
        anew(handling)
        _imported.add(handling.name)


def _memory() -> str | None:
    """A file system in memory, where there is one: what is written is read once and removed."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _in(spec: Spec, schedule: Schedule, path: Path, preload: str, *, keep: bool) -> Outcome:
    try:
        with claim(spec, path) as directory:
            if spec.tasks_from:
                spec, _ = taken_in(spec, directory)
            world = simulate(spec, schedule, directory, preload=preload)
    except HandlerError:
        raise  # every other schedule would come to the same
    except (SimulationError, Unmodelled) as error:
        return Outcome(seed=spec.seed, verdict="broken", why=f"{type(error).__name__}: {error}")
    except SquallError as error:
        return Outcome(seed=spec.seed, verdict="broken", why=error.sentence)
    judged = judge(path, keep=keep)
    failed = [check for check in judged.checks if check.verdict == "fail"]
    defects = [*world.launcher.defects, *world.loop.failures]
    if defects:
        failed.append(Check(id=DEFECT, name=DEFECT_NAME, verdict="fail", detail=defects[0]))
    if world.nature.asked and not any(check.id == HANDLER_CHECK for check in failed):
        # Whoever asked went on as if it had been told so by the real thing.
        detail = f"The handler {spec.handler} took no notice of what it was told: {world.nature.asked[0]}"
        failed.append(Check(id=HANDLER_CHECK, name=HANDLER_NAME, verdict="fail", detail=detail))
    unknown = [c for c in judged.checks if c.verdict == "unknown" and c.exercised]
    return Outcome(
        seed=spec.seed,
        verdict="fail" if failed else "pass",
        failed=tuple(failed),
        unknown=tuple(unknown),
        passed=tuple(check.id for check in judged.checks if check.verdict == "pass"),
        digest=world.broker.digest,
        accepted=judged.accepted or 0,
        faults=sum(fault.verified for fault in judged.faults),
        virtual_s=world.loop.time(),
    )


LOOKS = 8
"""How often what is left is looked for: a coroutine that is collected is closed, which leaves more."""


def _forget() -> None:
    """Collect what is left of a world, and say nothing: dead processes are closed here, out of their time."""
    hook: Callable[..., object] = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: None
    try:
        with warnings.catch_warnings(), suppress(Exception):
            warnings.simplefilter("ignore")
            forget()
            WORLD.tasks.clear()  # it never dies, and would keep all worlds there were
            for _ in range(LOOKS):
                if not gc.collect():
                    break
    finally:
        sys.unraisablehook = hook
