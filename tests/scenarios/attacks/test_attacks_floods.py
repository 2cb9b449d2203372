"""Floods: an agent that holds, gives back, asks, sends or fills without end stops nobody for long."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from tests.scenarios.attacks import content, floods
from tests.scenarios.attacks.arena import Arena

SHORT_S, LONG_S = 5.0, 60.0
GENTLE_PER_S = 2000
FULL_SPEED_PER_S = 10_000_000

HOGS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "holds": (floods.hold, {}),
    "gives back at once": (floods.give_back, {}),
    "gives back with words of its own": (floods.give_back, {"answer": b'-NAK {"delay": 1}'}),
    "gives back for a year": (floods.give_back, {"answer": b'-NAK {"delay": 31536000000000000}'}),
    "terminates": (floods.give_back, {"answer": b"+TERM"}),
    "acknowledges without a result": (floods.give_back, {"answer": b"+ACK"}),
    "takes and says nothing": (floods.give_back, {"answer": b""}),
    "pulls for an hour": (floods.pull_for_an_hour, {"pulls": 600}),
    "answers no task": (floods.be_silent, {}),
    "connects": (floods.connect_often, {}),
    "subscribes": (floods.subscribe_often, {"subscriptions": 10_000}),
}

MANY = (
    "garbage",
    "ok, another job",
    "dead, a job with spaces",
    "dead, another's task",
    "an effect that is no JSON",
)
"""Kinds of registers of which thousands are written."""

TOTAL_BYTES_MAX = 64 * 1024**2
"""Of ten thousand records of a kind: the stream of the registers holds no more than its bound."""


def some(kinds: Iterable[str], *ordinary: str) -> list[Any]:
    """Kinds as parameters, of which the ordinary suite tries but these."""
    return [kind if kind in ordinary else pytest.param(kind, marks=pytest.mark.everything) for kind in kinds]


def strike(arena: Arena, function: Callable[..., Any], seconds: float, **given: Any) -> float:
    """Carry an attack out, by an agent that may be put out for it; how soon the others were back."""
    before = arena.world()
    by = arena.hijacked()
    arena.over(arena.begin(function, by=by, seconds=seconds, **given), by, seconds)
    took_s = arena.recovers()
    arena.unharmed(before, may_end=by)
    return took_s


@pytest.mark.parametrize("kind", some(HOGS, "acknowledges without a result", "holds"))
def test_an_agent_that_hogs_the_pool_stops_nobody_for_long(arena: Arena, kind: str) -> None:
    function, given = HOGS[kind]
    strike(arena, function, SHORT_S, **given)


@pytest.mark.parametrize("kind", some(floods.floods("agent-1"), "registers"))
def test_a_flood_stops_nobody_for_long(arena: Arena, kind: str) -> None:
    strike(arena, floods.flood, 2.0, kind=kind, per_s=GENTLE_PER_S if "megabyte" not in kind else 50)


@pytest.mark.everything
def test_a_store_that_fills_up_stops_nobody(arena: Arena) -> None:
    """What the marks hold is bounded, and what they are full of is the oldest that goes."""
    before = arena.stream("TRY")["bytes"]
    slot = f"sw.squall.try.pool.0.own-{floods.NUMBER.decode()}"
    strike(arena, floods.fill, 2.0, subject=slot, size=4000, per_s=5000)
    strike(arena, floods.fill, 2.0, subject=slot, size=1_000_000, per_s=80)
    assert arena.stream("TRY")["bytes"] - before < 64 * 1024**2


@pytest.mark.everything
def test_letters_of_half_a_mebibyte_do_not_fill_the_coordinators_stream(arena: Arena) -> None:
    strike(arena, floods.fill_with_letters, 3.0, size=500_000, per_s=80)
    arena.wait(lambda: arena.stream("JOB")["bytes"] < 64 * 1024**2, "trimming of the coordinator's stream")


@pytest.mark.parametrize("kind", some(MANY, "an effect that is no JSON"))
def test_thousands_of_one_kind_of_register_stop_nobody_for_long(arena: Arena, kind: str) -> None:
    before = arena.world()
    arena.attack(content.many_registers, name=kind, count=3000, prefix=f"own-{MANY.index(kind)}")
    arena.recovers()
    arena.unharmed(before)


@pytest.mark.parametrize("name", ["", "garbage", "a field nested deep", "dead, a job of 256 characters"])
@pytest.mark.everything
def test_the_window_does_not_leak(arena: Arena, name: str) -> None:
    """Tasks acknowledged without a result, or with a record that nobody can read, end all the same."""
    before = arena.world()
    spoiled = set(arena.attack(content.spoil_many, name=name, tasks=60, acknowledge=True))
    arena.spoiled |= spoiled
    arena.recovers()
    arena.wait(lambda: not spoiled & set(arena.progress().open), "end of every task that was spoiled", 90)
    arena.unharmed(before)


# All of it, at full length.


@pytest.mark.everything
@pytest.mark.slow
@pytest.mark.parametrize("kind", HOGS)
def test_a_minute_of_hogging_the_pool(arena: Arena, kind: str) -> None:
    function, given = HOGS[kind]
    strike(arena, function, LONG_S, **given)


@pytest.mark.everything
@pytest.mark.slow
@pytest.mark.parametrize("kind", floods.floods("agent-1"))
def test_a_minute_of_flooding(arena: Arena, kind: str) -> None:
    strike(arena, floods.flood, LONG_S, kind=kind, per_s=FULL_SPEED_PER_S)


@pytest.mark.everything
@pytest.mark.slow
@pytest.mark.parametrize("kind", content.REGISTERS)
def test_ten_thousand_of_one_kind_of_register(arena: Arena, kind: str) -> None:
    before = arena.world()
    count = min(10_000, TOTAL_BYTES_MAX // max(1, len(content.REGISTERS[kind]("own-x"))))
    prefix = f"own-{list(content.REGISTERS).index(kind)}"
    by = arena.hijacked()
    attack = arena.begin(content.many_registers, by=by, name=kind, count=count, prefix=prefix)
    arena.over(attack, by, LONG_S)
    arena.recovers()
    arena.unharmed(before, may_end=by)


@pytest.mark.everything
@pytest.mark.slow
@pytest.mark.parametrize("kind", [*content.HEARTBEATS, *content.ANSWERS])
def test_ten_thousand_of_one_kind_of_heartbeat_or_answer(arena: Arena, kind: str) -> None:
    before = arena.world()
    said = {**content.HEARTBEATS, **content.ANSWERS}[kind]
    times = min(10_000, 4 * TOTAL_BYTES_MAX // max(1, len(said)))
    by = arena.hijacked()
    function = content.beat if kind in content.HEARTBEATS else content.reply
    arena.over(arena.begin(function, by=by, data=said, times=times), by, LONG_S)
    arena.recovers()
    arena.unharmed(before, may_end=by)  # it may be put out for saying so much
