"""Content: nothing that an agent says is believed beyond its own task, and nothing stops the others."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

import pytest
from tests.scenarios.attacks import content
from tests.scenarios.attacks.arena import Arena

TOGETHER = 10
"""Kinds that the ordinary suite tries at once; each alone is for finding out which it was."""


def together(kinds: Iterable[str]) -> list[tuple[str, ...]]:
    """Kinds in handfuls, in their order."""
    return list(batched(kinds, TOGETHER))


def batched(kinds: Iterable[str], size: int) -> Iterator[tuple[str, ...]]:
    rest = iter(kinds)
    while handful := tuple(itertools.islice(rest, size)):
        yield handful


SLOTS_THAT_ARE_NONE = (
    "sw.squall.res.*.*",
    "sw.squall.res.0.*",
    "sw.squall.res.>.x",
    "sw.squall.res.999999.own-x",
    "sw.squall.res.0.Bad!Name",
    "sw.squall.res.0." + "x" * 200,
    "sw.squall.res.0.\u202eown",
)


def slot(name: str) -> str:
    """A task's name that says what is tried in its register."""
    return ("own-" + re.sub("[^a-z0-9]+", "-", name.lower()).strip("-"))[:40].rstrip("-")


@pytest.mark.parametrize("kinds", together(content.REGISTERS), ids=lambda kinds: f"from {kinds[0]}")
def test_registers_harm_nothing_but_their_own_tasks(arena: Arena, kinds: tuple[str, ...]) -> None:
    before = arena.world()
    for name in kinds:
        arena.spoiled.add(arena.attack(content.spoil, name=name, slot=slot(name))["task"])
    arena.goes_on()
    arena.read_through()
    arena.unharmed(before)


@pytest.mark.everything
@pytest.mark.parametrize("name", content.REGISTERS)
def test_a_register_harms_nothing_but_its_own_task(arena: Arena, name: str) -> None:
    before = arena.world()
    said = arena.attack(content.spoil, name=name, slot=slot(name))
    arena.spoiled.add(said["task"])
    arena.goes_on()
    arena.read_through()
    arena.unharmed(before)


def test_registers_of_no_task_harm_nothing(arena: Arena) -> None:
    before = arena.world()
    for subject in SLOTS_THAT_ARE_NONE:
        arena.attack(content.spoil_at, subject=subject)
    arena.goes_on()
    arena.read_through()
    arena.unharmed(before)


@pytest.mark.parametrize("kinds", together(content.HEARTBEATS), ids=lambda kinds: f"from {kinds[0]}")
def test_heartbeats_harm_nothing(arena: Arena, kinds: tuple[str, ...]) -> None:
    before = arena.world()
    for name in kinds:
        arena.attack(content.beat, data=content.HEARTBEATS[name], times=5)
    arena.goes_on()
    arena.unharmed(before)


def test_answers_harm_nothing(arena: Arena) -> None:
    before = arena.world()
    for answer in content.ANSWERS.values():
        arena.attack(content.reply, data=answer, times=5)
    arena.goes_on()
    arena.unharmed(before)


@pytest.mark.parametrize("name", content.MARKS)
def test_a_mark_harms_nothing_but_its_own_task(arena: Arena, name: str) -> None:
    before = arena.world()
    tasks = arena.attack(content.mark, data=content.MARKS[name], tasks=4)
    assert tasks
    arena.spoiled.update(tasks)
    arena.goes_on()
    arena.unharmed(before)
    ended = arena.wait(lambda: all(ended_in(arena, task) for task in tasks), f"end of {tasks}")
    assert ended


def ended_in(arena: Arena, task: str) -> bool:
    """Whether a task has a register."""
    return bool(arena.subjects("RES", f"sw.squall.res.*.{task}"))


def test_after_all_that_every_task_has_ended_and_the_honest_ones_as_they_should(arena: Arena) -> None:
    arena.recovers()
    arena.wait(lambda: not arena.spoiled & set(arena.progress().open), "end of every task that was spoiled")
    arena.honest_ledger()
