"""``squall chaos``: a swarm under faults, seed after seed, and what survived."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from squall.chaos.cli.mutants import prove_all
from squall.chaos.cli.outside import address_of, check_spared, on_outside_broker
from squall.chaos.cli.place import check_here, done_here
from squall.chaos.cli.series import Series
from squall.chaos.cli.setup import is_narrowed, more_runs_of, runs_of, spec_of
from squall.chaos.errors import ChaosError, FaultError
from squall.chaos.evidence.series import Planned
from squall.chaos.inject.faults.catalogue import make
from squall.chaos.inject.schedule_file import load
from squall.chaos.inject.toxiproxy import check_port
from squall.chaos.plan.load import check_load
from squall.chaos.plan.series import Plan
from squall.services.cli.asked import check_on
from squall.services.cli.options import (
    Agents,
    AsJson,
    Handler,
    InsecureNats,
    On,
    Quiet,
    Rate,
    Tasks,
    a_path,
)
from squall.services.cli.progress import show_progress
from squall.services.cli.sentences import failing, sentences
from squall.services.cli.signals import INTERRUPTED
from squall.services.launch.places import PROCESSES
from squall.services.patterns import DEFAULT
from squall.services.printing import say
from squall.services.run.loaded import STEADY_S
from squall.services.run.spec import SEED_MAX, Spec

MINUTES_MAX = 100_000
"""Ten weeks; a time that comes to an end."""


SEEDS_MAX = 10_000
"""More than a machine gets through in weeks, and what they would be is drawn before the first is run."""

AHEAD = 100
"""Of the seeds that are drawn while a series goes on, how many are looked at before it begins."""


def chaos(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(help="Patterns, or paths of a swarm.toml.", show_default=DEFAULT),
    ] = None,
    fault: Annotated[
        list[str] | None, typer.Option(help="Only this fault; NAME or NAME@TARGET. May be repeated.")
    ] = None,
    seeds: Annotated[
        int, typer.Option(min=1, max=SEEDS_MAX, help="How many seeds; of a schedule, how often.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="The first seed.")] = 1,
    minutes: Annotated[
        float | None,
        typer.Option(min=0, max=MINUTES_MAX, help="Go on with new seeds for so long."),
    ] = None,
    agents: Agents = None,
    tasks: Tasks = None,
    rate: Rate = None,
    handler: Handler = None,
    nats: Annotated[
        str | None,
        typer.Option(help="An outside broker, which is not struck itself; credentials in NATS_CREDS."),
    ] = None,
    insecure_nats: InsecureNats = False,
    on: On = PROCESSES,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 also for what a narrowed series did not exercise.")
    ] = False,
    schedule: Annotated[
        Path | None,
        typer.Option(help="What to do, from a file, instead of a seed.", parser=a_path, metavar="PATH"),
    ] = None,
    shrink_minutes: Annotated[
        float,
        typer.Option(
            "--shrink",
            min=0,
            max=MINUTES_MAX,
            help="Minutes for shrinking the first schedule that fails.",
        ),
    ] = 0.0,
    mutants: Annotated[
        bool, typer.Option("--mutants", help="Prove the checks on known-bad variants.")
    ] = False,
    ordinary: Annotated[
        int | None,
        typer.Option(
            min=1, help="With --mutants: also which of so many seeds of an ordinary series catch each (long)."
        ),
    ] = None,
    toxiproxy_port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to look in with toxiproxy-cli; 0 is any free port.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Directory of the series.", show_default="runs/<id>", parser=a_path, metavar="PATH"
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Break a swarm on purpose, behind a proxy a node, and judge what survived.

    A FAULT strikes a TARGET, and any that it can strike if none is named: --fault crash@leader.
    """
    folder = out or Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    if not patterns:
        say(f"no pattern is named, and {DEFAULT} is taken")
    asked = patterns or [DEFAULT]
    drawn = minutes or fault
    if abs(seed) > SEED_MAX - SEEDS_MAX:
        failing("input", f"seed = {seed} has too many digits", "choose a smaller one", 2, as_json=as_json)
    own = agents or tasks or rate or handler or nats or strict or on != PROCESSES
    if mutants and (drawn or schedule or shrink_minutes or seeds > 1 or own):
        message = "--mutants brings its own swarms, faults and seeds"
        failing(
            "input", message, "leave out all but patterns, --ordinary, --out and --json", 2, as_json=as_json
        )
    if ordinary is not None and not mutants:
        message = "--ordinary counts the seeds that catch known-bad variants, and none are asked for"
        failing("input", message, "add --mutants, or leave --ordinary out", 2, as_json=as_json)
    if schedule is not None and (drawn or len(asked) > 1):
        message = "--schedule says what is done, and to one swarm"
        failing("input", message, "leave out --fault, --minutes and further patterns", 2, as_json=as_json)
    if mutants:
        with chaos_sentences(as_json=as_json):
            code = prove_all(asked, folder, ordinary_seeds=ordinary or 0, as_json=as_json, quiet=quiet)
        raise typer.Exit(code)
    with chaos_sentences(as_json=as_json):
        check_on(on)
        url = None if nats is None else address_of(nats, insecure=insecure_nats)
        faults = [_fault(text) for text in fault or ()]
        specs = [
            spec_of(pattern, agents=agents, tasks=tasks, rate_per_s=rate, handler=handler)
            for pattern in asked
        ]
        more: Iterable[Plan] = ()
        more_s = 60 * (minutes or 0.0)
        if schedule is not None:
            first = ahead = _repeated(_scheduled(specs[0], schedule, seed), seeds)
        else:
            first = runs_of(specs, range(seed, seed + seeds), faults)
            last = seed + seeds + (AHEAD if minutes else 0)
            ahead = [*first, *runs_of(specs, range(seed + seeds, last), faults)]
            more = more_runs_of(specs, seed + seeds, faults, for_s=more_s, now_s=time.monotonic)
        if url is not None:
            check_spared(faults, [plan.schedule for plan in first] if schedule is not None else ())
            first, more = [on_outside_broker(plan) for plan in first], map(on_outside_broker, more)
        check_here(on, faults, [plan.schedule for plan in first] if schedule is not None else ())
        if schedule is None:
            first, more = [done_here(plan, on) for plan in first], (done_here(plan, on) for plan in more)
        check_port(toxiproxy_port)
        check_load([(plan.name, plan.spec, plan.schedule) for plan in ahead], steady_s=STEADY_S)
        names = tuple(plan.name for plan in first)
        narrowed = any((schedule, faults, url)) or any(map(is_narrowed, specs))
        planned = Planned(runs=names, all_faults=not narrowed, strict=strict)
        series = Series(folder, planned, port=toxiproxy_port, as_json=as_json, url=url, on=on, more_s=more_s)
        with show_progress(quiet=quiet) as shown:
            for plan in itertools.chain(first, more):
                if series.run(plan, shown):
                    break
            if shrink_minutes and not series.interrupted:
                series.shrink_first_failure(60 * shrink_minutes, shown)
        code = series.report()
    raise typer.Exit(INTERRUPTED if series.interrupted else code)


@contextlib.contextmanager
def chaos_sentences(*, as_json: bool) -> Iterator[None]:
    """Turn what was raised inside into one sentence and an exit code, the harness's own errors too."""
    with sentences(as_json=as_json, prefer=ChaosError):
        yield


# What is asked.


def _fault(text: str) -> tuple[str, str]:
    """``NAME`` or ``NAME@TARGET``.

    Raises:
        FaultError: There is no such fault, or no target follows the at sign.
    """
    name, at, target = text.partition("@")
    make(name, {})
    if at and not target:
        raise FaultError(f"{text} names no target", f"for instance {name}@any-agent, or {name} for any")
    return name, target


def _scheduled(spec: Spec, path: Path, seed: int) -> Plan:
    loaded = load(path, spec)
    return Plan("schedule", msgspec.structs.replace(spec, seed=loaded.seed or seed), loaded)


def _repeated(plan: Plan, times: int) -> list[Plan]:
    """A schedule replays; processes meet it a little differently each time."""
    if times == 1:
        return [plan]
    return [replace(plan, name=f"{plan.name}-{number}") for number in range(1, times + 1)]
