"""``squall simulate``: many schedules on virtual time, and the first that fails, made small."""

from __future__ import annotations

import hashlib
import itertools
import os
import secrets
import shlex
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from squall.bus.border import printable
from squall.chaos.cli.chaos import MINUTES_MAX, chaos_sentences
from squall.chaos.cli.setup import spec_of
from squall.chaos.inject.schedule_file import load
from squall.chaos.simulation.alike import check_alike
from squall.chaos.simulation.draw import TASKS
from squall.chaos.simulation.handlers import anew, is_of_ours
from squall.chaos.simulation.many import CHUNK, outcomes
from squall.chaos.simulation.outcome import Outcome, Plan, outcome
from squall.chaos.simulation.smallest import smallest
from squall.services.cli.asked import is_file
from squall.services.cli.layout import Listing
from squall.services.cli.options import Agents, AsJson, Handler, Quiet, Tasks, a_path
from squall.services.cli.progress import Shown, show_progress
from squall.services.cli.sentences import failing
from squall.services.cli.signals import INTERRUPTED
from squall.services.cli.terminal import Terminal
from squall.services.effects.kinds import is_outside
from squall.services.errors import SpecError
from squall.services.patterns import DEFAULT
from squall.services.printing import print_document, say
from squall.services.run.progress import Begun
from squall.services.run.spec import SEED_MAX
from squall.services.run.values import refusal

SCHEDULES_MAX = 10_000_000

SHRINK_S = 120.0
"""How long the first failing schedule is made smaller."""

SEEDS_SHOWN = 10

BROKEN = 4
"""Exit code where the simulator could not go on."""

UNDECIDED = 3
"""Exit code where there was no time for any schedule."""


def simulate(
    patterns: Annotated[
        list[str] | None, typer.Argument(help="Patterns, or paths of a swarm.toml.", show_default=DEFAULT)
    ] = None,
    schedules: Annotated[
        int, typer.Option(min=1, max=SCHEDULES_MAX, help="How many schedules of each.")
    ] = 100,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 1,
    minutes: Annotated[
        float | None, typer.Option(min=0, max=MINUTES_MAX, help="Go on with new seeds for so long.")
    ] = None,
    agents: Agents = None,
    tasks: Tasks = None,
    handler: Handler = None,
    schedule: Annotated[
        Path | None,
        typer.Option(
            help="What to do, from a file, instead of what is drawn.", parser=a_path, metavar="PATH"
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Directory of what failed.", show_default="runs/<id>", parser=a_path, metavar="PATH"
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Run the swarm's own code on virtual time, against a model of the broker, schedule after schedule.

    Of a pattern, agents, timers and bounds are drawn from each seed as well as the faults; a file is taken as
    it is.
    """
    folder = out or Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    asked = patterns or [DEFAULT]
    if abs(seed) > SEED_MAX - SCHEDULES_MAX:
        failing("input", f"seed = {seed} has too many digits", "choose a smaller one", 2, as_json=as_json)
    if minutes is not None and minutes <= 0:
        failing("input", "--minutes 0 simulates nothing", "for instance --minutes 5", 2, as_json=as_json)
    if schedule is not None and len(asked) > 1:
        message = "--schedule says what is done, and to one swarm"
        failing("input", message, "leave out further patterns", 2, as_json=as_json)
    with chaos_sentences(as_json=as_json):
        plans = {
            pattern: _plan(pattern, schedule, agents=agents, tasks=tasks, handler=handler)
            for pattern in asked
        }
        for plan in plans.values():
            if not is_of_ours(plan.spec.handler):
                check_alike(plan, seed)
        check_place(folder)
        found = {}
        interrupted = False
        with show_progress(quiet=quiet) as shown:
            for pattern, plan in plans.items():
                gathered = found[pattern] = Gathered(pattern, plan)
                begun_s = time.monotonic()
                runs = schedules if minutes is None else None
                try:
                    for number, each in enumerate(_some(plan, seed, schedules, minutes), 1):
                        gathered.add(each)
                        took_s = time.monotonic() - begun_s
                        left_s = took_s / number * (runs - number) if runs else 60 * (minutes or 0) - took_s
                        shown.tell(
                            Begun(run=pattern, number=number, runs=runs, series_left_s=max(0.0, left_s))
                        )
                    gathered.look_closer(folder, shown)
                except KeyboardInterrupt:
                    interrupted = True
                    break
    _tell(list(found.values()), as_json=as_json)
    if interrupted:
        say("interrupted; this is what was found until then, and nothing was made smaller")
    raise typer.Exit(INTERRUPTED if interrupted else max(each.exit_code for each in found.values()))


def check_place(folder: Path) -> None:
    """See that what fails can be kept, before anything has: nobody would want to wait for it twice.

    Raises:
        SpecError: It cannot.
    """
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if os.path.lexists(each))
    if not there.is_dir():
        raise SpecError(f"{folder} cannot be a directory: {there} is none", "name another one with --out")
    if not os.access(there, os.W_OK | os.X_OK):
        raise SpecError(f"nothing can be written to {there}", "name another directory with --out")
    if folder.is_dir() and any(folder.iterdir()):
        raise SpecError(f"{folder} is not empty", "remove it, or name another one with --out")


def _plan(pattern: str, schedule: Path | None, *, tasks: int | None, **asked: Any) -> Plan:
    """What is simulated of a pattern or a file.

    Raises:
        SpecError, FaultError: It cannot be used.
    """
    drawn = not is_file(pattern)
    # Of a drawn swarm the agents are drawn with the rest, or with what suits so many.
    given = {**asked, "agents": None} if drawn else asked
    spec = spec_of(pattern, tasks_of_load=TASKS, tasks=tasks, **given)
    plan = Plan(spec=spec, is_drawn=drawn, tasks=tasks, agents=asked["agents"])
    if plan.agents is not None and (why := refusal({"agents": plan.agents}, type(spec))) is not None:
        raise SpecError(why)
    anew(spec.handling)
    if is_outside(spec.effects):
        raise SpecError(
            f"effects go to {printable(spec.effects, 100)}, which no simulated world has",
            'simulate with effects = "none", or break the real swarm with squall chaos',
        )
    if schedule is not None:
        return msgspec.structs.replace(plan, schedule=load(schedule, spec))
    return plan


def _some(plan: Plan, seed: int, schedules: int, minutes: float | None) -> Iterator[Outcome]:
    """Outcomes of so many seeds, or of all that there is time for."""
    if minutes is None:
        few = schedules <= CHUNK  # sooner done here than other processes are there
        yield from outcomes(plan, range(seed, seed + schedules), processes=1 if few else None)
        return
    until_s = time.monotonic() + 60 * minutes
    seeds = itertools.takewhile(lambda each: time.monotonic() < until_s, itertools.count(seed))
    yield from outcomes(plan, seeds)


class Gathered:
    """What came of the schedules of one pattern."""

    def __init__(self, pattern: str, plan: Plan) -> None:
        self.pattern = pattern
        self.plan = plan
        self.passed: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.bad: list[Outcome] = []
        self.count = 0
        self.took_s = 0.0
        self.virtual_s = 0.0
        self.faults = 0
        self.accepted = 0
        self.digests: dict[int, str] = {}
        self.repeat = ""
        self.small: Outcome | None = None

    def add(self, each: Outcome) -> None:
        """One more."""
        self.count += 1
        self.took_s += each.took_s
        self.virtual_s += each.virtual_s
        self.faults += each.faults
        self.accepted += each.accepted
        self.digests[each.seed] = each.digest
        self.passed.update(each.passed)
        self.unknown.update(check.id for check in each.unknown)
        self.failed.update(check.id for check in each.failed)
        if each.verdict in ("fail", "broken"):
            self.bad.append(each)

    def look_closer(self, folder: Path, shown: Shown) -> None:
        """Make the first that failed small, and leave its directory."""
        failed = min((each for each in self.bad if each.verdict == "fail"), key=_seed, default=None)
        if failed is None:
            return
        shown.tell(Begun(run=f"{self.pattern} seed-{failed.seed} made smaller", number=1))
        small = smallest(self.plan, failed, budget_s=SHRINK_S, now_s=time.monotonic)
        path = folder / f"{Path(self.pattern).stem}-seed-{failed.seed}"
        self.small = outcome(small, failed.seed, out=path)
        place = shlex.quote(str(path))
        self.repeat = f"squall simulate {place}/spec.toml --schedule {place}/schedule.toml"
        self.repeat += f" --schedules 1 --seed {failed.seed}"

    @property
    def exit_code(self) -> int:
        if self.failed:
            return 1
        if not self.count:
            return UNDECIDED
        return BROKEN if self.bad else 0

    @property
    def verdict(self) -> str:
        return "fail" if self.failed else "unknown" if self.bad or not self.count else "pass"

    @property
    def digest(self) -> str:
        """Of all schedules by their seeds; where nothing differs, nothing in any of them does."""
        told = "".join(f"{seed} {self.digests[seed]}\n" for seed in sorted(self.digests))
        return hashlib.blake2b(told.encode(), digest_size=8).hexdigest()

    def document(self) -> dict[str, Any]:
        """As ``--json`` has it."""
        ids = sorted(self.passed | self.unknown | self.failed)
        checks = [
            {"id": each, "pass": self.passed[each], "unknown": self.unknown[each], "fail": self.failed[each]}
            for each in ids
        ]
        return {
            "pattern": self.pattern,
            "target": "simulation",
            "verdict": self.verdict,
            "schedules": self.count,
            "accepted": self.accepted,
            "faults": self.faults,
            "virtual_s": round(self.virtual_s, 3),
            "core_s": round(self.took_s, 3),
            "digest": self.digest,
            "checks": checks,
            "failing": [msgspec.to_builtins(each) for each in sorted(self.bad, key=_seed)],
            "smallest": None if self.small is None else msgspec.to_builtins(self.small),
            "repeat": self.repeat or None,
        }


def _seed(each: Outcome) -> int:
    return each.seed


def _tell(found: list[Gathered], *, as_json: bool) -> None:
    if as_json:
        print_document({"simulated": [each.document() for each in found]})
        return
    console = Terminal()
    for gathered in found:
        _show(gathered, console)


def _show(gathered: Gathered, console: Terminal) -> None:
    per_minute = 60 * gathered.count / gathered.took_s if gathered.took_s else 0.0
    console.print(
        f"{gathered.pattern}, simulated: {gathered.count:,} schedules, {gathered.faults:,} faults in force, "
        f"{gathered.accepted:,} tasks accepted, {gathered.virtual_s / 3600:.1f} virtual hours; "
        f"{per_minute:,.0f} schedules a minute of a core",
        soft_wrap=True,
    )
    ids = sorted(gathered.passed | gathered.unknown | gathered.failed)
    rows = [
        [each, *(f"{count[each]:,}" for count in (gathered.passed, gathered.unknown, gathered.failed))]
        for each in ids
    ]
    console.print(Listing(("check", "passed", "unknown", "failed"), rows))
    for each in sorted(gathered.bad, key=_seed)[:SEEDS_SHOWN]:
        why = each.why or "; ".join(f"{check.id} {check.name}: {check.detail}" for check in each.failed)
        console.print(f"seed {each.seed}  {each.verdict}  {why}", soft_wrap=True)
    if gathered.small is not None:
        console.print(f"smallest found, digest {gathered.small.digest}; again:", gathered.repeat, sep="\n  ")
    console.print(f"verdict  {gathered.verdict}", f"digest   {gathered.digest}", sep="\n")
    if gathered.bad and not gathered.failed:
        say("the simulator could not go on; this says nothing about the swarm")
