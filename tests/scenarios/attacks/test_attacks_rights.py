"""Rights: what the broker refuses stays refused in a swarm at work; its answers cannot be aimed at others."""

from __future__ import annotations

import pytest
from tests.integration import test_attacks as tables
from tests.scenarios.attacks import rights
from tests.scenarios.attacks.arena import Arena
from tests.scenarios.attacks.test_attacks_content import slot, together


def test_the_credentials_that_a_handler_finds_are_its_agents_alone(arena: Arena) -> None:
    found = arena.attack(look)
    assert found["url"]
    assert [seed[:2] for seed in found["seeds"]] == ["SU"] * len(found["seeds"])
    assert found["own"] in found["seeds"]


async def look(me):  # type: ignore[no-untyped-def]
    me.look_around()
    return {"url": me.url, "own": me.seed, "seeds": sorted(me.seeds_in_memory())}


def test_what_is_forbidden_is_refused(arena: Arena) -> None:
    before = arena.world()
    assert arena.attack(rights.publish_forbidden) == {}
    arena.goes_on()
    arena.unharmed(before)


def test_nothing_is_heard_that_is_forbidden(arena: Arena) -> None:
    before = arena.world()
    assert arena.attack(rights.listen_to_forbidden, seconds=1.0) == {}
    arena.goes_on()
    arena.unharmed(before)


@pytest.mark.parametrize("carriers", together(carrier.__name__ for carrier in tables.CARRIERS))
def test_no_answer_of_the_broker_can_be_aimed_at_others(arena: Arena, carriers: tuple[str, ...]) -> None:
    before = arena.world()
    for carrier in carriers:
        assert arena.attack(rights.aim, carrier=carrier) > 0
    arena.goes_on()
    arena.read_through()
    arena.unharmed(before)


@pytest.mark.parametrize("names", together(rights.HEADERS), ids=lambda names: f"from {names[0]}")
def test_headers_reach_nothing_but_their_own_records(arena: Arena, names: tuple[str, ...]) -> None:
    before = arena.world()
    for name in names:
        arena.attack(rights.with_headers, name=name, slot=slot(f"header-{name}"))
    arena.goes_on()
    arena.read_through()
    arena.unharmed(before)


@pytest.mark.parametrize("name", rights.MARKED)
def test_a_header_hides_no_mark_and_stops_no_task(arena: Arena, name: str) -> None:
    before = arena.world()
    tasks = arena.attack(rights.mark_with_headers, name=name, tasks=4)
    assert tasks
    arena.spoiled.update(tasks)
    for task in tasks:
        arena.wait(lambda task=task: arena.subjects("RES", f"sw.squall.res.*.{task}"), f"end of {task}")
    arena.unharmed(before)


@pytest.mark.parametrize("names", together(rights.WORDS), ids=lambda names: f"from {names[0]}")
def test_words_on_the_wire_harm_nobody(arena: Arena, names: tuple[str, ...]) -> None:
    before = arena.world()
    for name in names:
        arena.attack(rights.say, name=name)
    arena.goes_on()
    arena.read_through()
    arena.unharmed(before)


def test_no_forged_token_is_let_in(arena: Arena) -> None:
    before = arena.world()
    assert arena.attack(rights.forge) == []
    arena.goes_on()
    arena.unharmed(before)


def test_a_register_that_was_to_live_a_second_is_still_there(arena: Arena) -> None:
    name = slot("header-a life of a second")
    arena.attack(rights.with_headers, name="a life of a second", slot=name)
    subject = f"sw.squall.res.0.{name}"
    written = arena.subjects("RES", subject)
    begin = len(arena.accepted())
    arena.wait(lambda: len(arena.accepted()) > begin + 3 * arena.spec.rate_per_s, "three seconds of work")
    assert arena.subjects("RES", subject) == written
