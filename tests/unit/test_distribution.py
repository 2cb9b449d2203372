"""To whom a task is given: each strategy does what it is called after."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.services.rules.distribution import (
    FASTER_MAX,
    HALF_LIFE_S,
    LOAD_FACTOR,
    WAITING,
    Worker,
    choose,
    decayed_ms,
    load_max,
    ranked,
    steals,
    usual_ms,
)

NAMES = st.lists(st.integers(1, 99), min_size=1, max_size=12, unique=True).map(
    lambda numbers: [f"agent-{number}" for number in sorted(numbers)]
)
KEYS = st.text("abcdefgh0123456789", min_size=1, max_size=6)


def workers(names: Sequence[str], loads: Counter[str] | None = None, slots: int = 1) -> list[Worker]:
    return [Worker(name, load=(loads or Counter())[name], slots=slots) for name in names]


def given_out(strategy: str, keys: Sequence[str], there: Sequence[Worker]) -> list[tuple[str, int]]:
    """To whom tasks of these keys go, of which none ends; and how many that one has then."""
    loads: Counter[str] = Counter({worker.name: worker.load for worker in there})
    found = []
    for turn, key in enumerate(keys):
        now = [worker._replace(load=loads[worker.name]) for worker in there]
        name = choose(strategy, key, key, turn, now)  # type: ignore[arg-type]
        loads[name] += 1
        found.append((name, loads[name]))
    return found


@given(NAMES, st.integers(0, 200), st.integers(0, 1000))
def test_round_robin_gives_each_as_many_as_the_others(names: list[str], tasks: int, first: int) -> None:
    there = workers(names)
    shares = Counter(choose("round-robin", "k", "", first + turn, there) for turn in range(tasks))
    counts = [shares[name] for name in names]
    assert max(counts) - min(counts) <= 1


@given(NAMES, st.lists(KEYS, max_size=120), st.integers(1, 8))
def test_affinity_never_gives_a_worker_more_than_its_bound(
    names: list[str], keys: list[str], slots: int
) -> None:
    for total, (_, load) in enumerate(given_out("affinity", keys, workers(names, slots=slots)), 1):
        assert load <= load_max(total, len(names), slots)
        assert load <= max(slots, LOAD_FACTOR * total / len(names) + 1)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), KEYS)
def test_affinity_finds_room_whatever_workers_have(loads: list[int], key: str) -> None:
    """Loads need not have come about under this strategy: a leader may be new."""
    there = [Worker(f"agent-{n}", load=load) for n, load in enumerate(loads)]
    chosen = next(w for w in there if w.name == choose("affinity", key, "", 0, there))
    assert chosen.load < load_max(sum(loads) + 1, len(there), 1)


@given(NAMES, st.lists(KEYS, min_size=1, max_size=60, unique=True), st.data())
def test_affinity_moves_only_the_keys_of_a_worker_that_leaves(
    names: list[str], keys: list[str], data: st.DataObject
) -> None:
    gone = data.draw(st.sampled_from(names))
    left = tuple(name for name in names if name != gone)
    for key in keys:
        before = ranked(key, tuple(names))
        if left:
            assert ranked(key, left) == tuple(name for name in before if name != gone)


def test_affinity_moves_about_its_part_of_the_keys_where_one_of_four_leaves() -> None:
    names = tuple(f"agent-{n}" for n in range(1, 5))
    keys = [f"a{n:04d}-sp500" for n in range(1000)]
    moved = sum(ranked(key, names)[0] != ranked(key, names[:3])[0] for key in keys)
    assert 200 <= moved <= 300


@given(NAMES, st.lists(KEYS, max_size=60), st.data())
def test_what_needs_a_capability_goes_to_whoever_has_it(
    names: list[str], keys: list[str], data: st.DataObject
) -> None:
    able = data.draw(st.sets(st.sampled_from(names), min_size=1))
    there = [Worker(name, can=frozenset(keys) if name in able else frozenset()) for name in names]
    shares = Counter(name for name, _ in given_out("specialised", keys, there))
    assert {*shares} <= able
    if keys:
        assert max(shares[name] for name in able) - min(shares[name] for name in able) <= 1


@given(
    st.floats(0.1, 1e6),
    st.floats(0.1, 1e6),
    st.lists(st.floats(0, 1000), min_size=2, max_size=6).map(sorted),
)
def test_what_was_slow_is_forgotten_by_and_by(said_ms: float, among_ms: float, idle: list[float]) -> None:
    off = [
        abs(decayed_ms(Worker("a", service_ms=said_ms, idle_s=idle_s), among_ms) - among_ms)
        for idle_s in idle
    ]
    assert off == sorted(off, reverse=True)
    half = decayed_ms(Worker("a", service_ms=said_ms, idle_s=HALF_LIFE_S), among_ms)
    assert half == pytest.approx((max(said_ms, among_ms / FASTER_MAX) + among_ms) / 2)


def test_adaptive_avoids_a_slow_worker_and_tries_it_again_later() -> None:
    fast, slow = Worker("agent-1", service_ms=10), Worker("agent-2", service_ms=100)
    assert [choose("adaptive", "k", "", turn, [fast, slow]) for turn in range(4)] == ["agent-1"] * 4
    busy = fast._replace(load=5)
    assert choose("adaptive", "k", "", 0, [busy, slow]) == "agent-1"  # six rounds of 10 ms are sooner
    assert choose("adaptive", "k", "", 0, [busy, slow._replace(idle_s=10 * HALF_LIFE_S)]) == "agent-2"


@given(NAMES, st.integers(1, 100))
def test_adaptive_shares_evenly_where_all_are_alike(names: list[str], tasks: int) -> None:
    there = [worker._replace(service_ms=20.0) for worker in workers(names, slots=4)]
    shares = Counter(name for name, _ in given_out("adaptive", ["k"] * tasks, there))
    counts = [shares[name] for name in names]
    assert max(counts) - min(counts) <= 1


def test_what_is_usual_is_of_those_that_are_known() -> None:
    assert usual_ms([Worker("a"), Worker("b", service_ms=30), Worker("c", service_ms=10)]) == 20
    assert usual_ms([Worker("a")]) == 1.0


@pytest.mark.parametrize("said", [math.nan, math.inf, -5.0, 1e300])
def test_who_says_nonsense_of_itself_steers_nobody_else(said: float) -> None:
    liar = Worker("agent-1", service_ms=said)
    fast, slow = Worker("agent-2", service_ms=10), Worker("agent-3", service_ms=100)
    assert usual_ms([liar, fast, slow]) in (55, 100)
    assert choose("adaptive", "k", "", 0, [liar, fast, slow]) == "agent-2"


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 8)), min_size=1, max_size=12))
def test_the_idle_take_what_waits_and_no_more(loads: list[tuple[int, int]]) -> None:
    there = {f"agent-{n}": Worker(f"agent-{n}", load, slots) for n, (load, slots) in enumerate(loads)}
    after = Counter({name: worker.load for name, worker in there.items()})
    for steal in steals(list(there.values())):
        assert steal.tasks > 0
        after[steal.victim] -= steal.tasks
        after[steal.thief] += steal.tasks
        assert after[steal.victim] >= there[steal.victim].slots * (1 + WAITING)
        assert after[steal.thief] <= there[steal.thief].slots
    assert sum(after.values()) == sum(load for load, _ in loads)
    idle = any(after[name] < worker.slots for name, worker in there.items())
    waits = any(after[name] > worker.slots * (1 + WAITING) for name, worker in there.items())
    assert not (idle and waits)


def test_who_says_that_it_takes_no_time_is_not_given_everything() -> None:
    there = [
        Worker("agent-1", service_ms=1e-9, slots=4),
        *(Worker(f"agent-{n}", service_ms=50, slots=4) for n in (2, 3)),
    ]
    shares = Counter(name for name, _ in given_out("adaptive", ["k"] * 120, there))
    assert shares["agent-1"] < 120 - 8
    assert min(shares.values()) > 4


def test_under_stealing_a_key_has_a_home() -> None:
    there = workers(["agent-1", "agent-2", "agent-3"])
    homes = {choose("stealing", "k", "", turn, there) for turn in range(9)}
    assert len(homes) == 1


@pytest.mark.parametrize("strategy", ["round-robin", "specialised", "affinity", "adaptive", "stealing"])
def test_where_nobody_is_there_nobody_is_chosen(strategy: str) -> None:
    with pytest.raises(ValueError, match="nobody"):
        choose(strategy, "k", "", 0, [])  # type: ignore[arg-type]


def test_under_pull_nobody_is_given_anything() -> None:
    with pytest.raises(ValueError, match="pulls"):
        choose("pull", "k", "", 0, workers(["agent-1"]))
