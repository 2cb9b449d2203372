"""What is printed first of a mistake in a test: one sentence, and no frames of ours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.unit.pytest_projects import AUTO, EXAMPLE, first_lines, pytest_in, write

REFUSED = """
import asyncio
import functools

import pytest


async def decide(task):
    return None


async def takes_two(task, market):
    return None


def make():
    async def inner(task):
        return None
    return inner


@pytest.mark.squall(handler=make())
async def test_made_inside(swarm): ...


@pytest.mark.squall(handler=lambda task: None)
async def test_lambda(swarm): ...


@pytest.mark.squall(handler=functools.partial(decide))
async def test_partial(swarm): ...


@pytest.mark.squall(handler=3)
async def test_no_function(swarm): ...


@pytest.mark.squall(handler=takes_two)
async def test_two_arguments(swarm): ...


@pytest.mark.squall(handler=decide, colour="red")
async def test_colour(swarm): ...


@pytest.mark.squall(handler=decide, agnts=3)
async def test_nearly_a_field(swarm): ...


@pytest.mark.squall(handler=decide, tasks=60, rate_per_s=50)
async def test_too_short(swarm): ...


@pytest.mark.squall("star", handler=decide)
async def test_positional(swarm): ...


@pytest.mark.squall(pattern="stra")
async def test_pattern(swarm): ...


@pytest.mark.squall(excused=["H9"])
async def test_excused(swarm): ...


@pytest.mark.squall(handler=decide)
async def test_asks_for_none(): ...


def test_not_async(nemesis): ...


@pytest.fixture
def early(swarm):
    swarm.nemesis


async def test_in_a_fixture(early): ...


def breaking(how):
    @pytest.fixture
    def broken(nemesis):
        how(nemesis)
    return broken


leadr = breaking(lambda nemesis: nemesis.crash("leadr"))
blackhol = breaking(lambda nemesis: nemesis.blackhol("leader"))
nobody = breaking(lambda nemesis: nemesis.crash())
nowhere = breaking(lambda nemesis: nemesis.crash("any-agent", point="agent.commited"))
never = breaking(lambda nemesis: nemesis.crash("gateway", point="agent.committed"))
latncy = breaking(lambda nemesis: nemesis.latency("gateway", latncy_ms=3))
by_name = breaking(lambda nemesis: nemesis.strike("crsh", "leader"))


async def test_target(leadr): ...
async def test_fault(blackhol): ...
async def test_nobody(nobody): ...
async def test_point(nowhere): ...
async def test_never_there(never): ...
async def test_magnitude(latncy): ...
async def test_by_name(by_name): ...


@pytest.fixture
def plain(nemesis):
    with nemesis.crash("leader"):
        pass


@pytest.fixture
def awaited(nemesis):
    async def strikes():
        await nemesis.crash("leader", point="coordinator.dispatched")
    asyncio.run(strikes())


async def test_plain_with(plain): ...
async def test_awaited(awaited): ...
"""

NO_NAME = (
    "the handler {} has no name at the top of a file, by which the agents, which are processes of their own, "
    "could find it; define it there with def, or give it a name there: decide = …"
)
FAULT = "squall.chaos.errors.FaultError: "

PRINTED = {
    "test_made_inside": NO_NAME.format("make.<locals>.inner"),
    "test_lambda": NO_NAME.format("<lambda>"),
    "test_partial": NO_NAME.format("functools.partial(<function decide at 0x…>)"),
    "test_no_function": "the handler 3 is not a function; name the function: handler=decide",
    "test_two_arguments": "the handler test_mine:takes_two does not take one argument, the task: it …",
    "test_colour": "@pytest.mark.squall says 'colour', which no spec of hierarchical has; there are …",
    "test_nearly_a_field": (
        "@pytest.mark.squall says 'agnts', which no spec of hierarchical has; did you mean 'agents'?"
    ),
    "test_too_short": (
        "tasks = 60 is too few: a steady state alone needs 375, as the load has to last until all is healed, "
        "8 s at 50 a second; ask for so many, or for fewer a second; or leave tasks out, and the load lasts "
        "as long as it has to"
    ),
    "test_positional": "@pytest.mark.squall takes keywords alone; for instance …",
    "test_pattern": "there is no pattern 'stra'; did you mean 'star'?",
    "test_excused": "excused is ['H9'], not a list of checks; there are H1, …",
    "test_asks_for_none": (
        "test_asks_for_none is marked squall, and asks for no swarm; take swarm or nemesis as an argument"
    ),
    "test_not_async": "test_not_async asks for a swarm, so it must be an async function; write async def",
    "test_in_a_fixture": (
        "RuntimeError: the swarm does not run yet; it starts with the test itself, after all of its fixtures"
    ),
    "test_target": FAULT + "there is no target 'leadr' in this swarm; did you mean leader?",
    "test_fault": "AttributeError: there is no fault 'blackhol'; did you mean 'blackhole'?",
    "test_nobody": FAULT + "crash does not say whom it strikes; there are leader, …",
    "test_point": FAULT + "there is no point 'agent.commited'; there are gateway.delivered, …",
    "test_never_there": FAULT + "gateway never reaches agent.committed; name any-agent or …",
    "test_magnitude": FAULT
    + "latency has no magnitude 'latncy_ms'; did you mean 'latency_ms'?; its magnitudes are: …",
    "test_by_name": FAULT + "there is no fault 'crsh'; did you mean crash?",
    "test_plain_with": (
        FAULT + "nemesis.crash('leader') was entered with a plain with; "
        "write: async with nemesis.crash('leader'): …"
    ),
    "test_awaited": (
        FAULT
        + "nemesis.crash('leader', point='coordinator.dispatched') was awaited, and is in force in a block; "
        "write: async with nemesis.crash('leader', point='coordinator.dispatched'): …"
    ),
}
"""By test; what stands where … does may be anything."""


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, str], str]:
    """What is printed first of each test that cannot be run, and all of it."""
    folder = write(tmp_path_factory.mktemp("refused"), {"test_mine.py": REFUSED})
    code, printed = pytest_in(folder, *AUTO)
    assert code == 1, printed
    return first_lines(printed), printed


@pytest.mark.parametrize("name", PRINTED)
def test_a_mistake_is_told_in_one_sentence(refused: tuple[dict[str, str], str], name: str) -> None:
    expected = re.escape(PRINTED[name]).replace("…", ".*")
    assert re.fullmatch(expected, refused[0][name]), refused[0][name]


def test_no_mistake_is_buried_in_frames_of_ours(refused: tuple[dict[str, str], str]) -> None:
    first, printed = refused
    assert first.keys() == PRINTED.keys()
    assert "/squall/" not in printed
    assert "During handling" not in printed


def test_a_mark_that_a_handler_got_is_no_reason_for_a_test_to_vanish(tmp_path: Path) -> None:
    source = EXAMPLE.replace("handler=decide, rate_per_s=50", "decide")
    code, printed = pytest_in(write(tmp_path, {"test_mine.py": source}))
    said = first_lines(printed)["test_mine.py"]
    assert said == (
        "decide is no test, and is marked squall; name a handler with its keyword: "
        "@pytest.mark.squall(handler=decide)"
    )
    assert code == 2
