"""Content: nothing that an agent says is believed beyond its own task, and nothing stops the others."""

from __future__ import annotations

import re

import pytest
from tests.scenarios.attacks import content
from tests.scenarios.attacks.arena import Arena

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


@pytest.mark.parametrize("name", content.REGISTERS)
def test_a_register_harms_nothing_but_its_own_task(arena: Arena, name: str) -> None:
    before = arena.world()
    said = arena.attack(content.spoil, name=name, slot=slot(name))
    arena.spoiled.add(said["task"])
    arena.goes_on()
    arena.unharmed(before)


@pytest.mark.parametrize("subject", SLOTS_THAT_ARE_NONE)
def test_a_register_of_no_task_harms_nothing(arena: Arena, subject: str) -> None:
    before = arena.world()
    arena.attack(content.spoil_at, subject=subject)
    arena.goes_on()
    arena.unharmed(before)


@pytest.mark.parametrize("name", content.HEARTBEATS)
def test_a_heartbeat_harms_nothing(arena: Arena, name: str) -> None:
    before = arena.world()
    arena.attack(content.beat, data=content.HEARTBEATS[name], times=5)
    arena.goes_on()
    arena.unharmed(before)


@pytest.mark.parametrize("name", content.ANSWERS)
def test_an_answer_harms_nothing(arena: Arena, name: str) -> None:
    before = arena.world()
    arena.attack(content.reply, data=content.ANSWERS[name], times=5)
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
