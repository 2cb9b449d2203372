"""What a hub knows: who folds its log knows the same, and each request has one decision at most."""

from __future__ import annotations

import random
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from squall.bus.codec import MESSAGE_BYTES_MAX, decode, encode
from squall.bus.messages import EFFECTS_MAX, Address, HubState, RunTask, TaskResult
from squall.services.patterns.star import WINDOW_MAX, StarSpec, owners, symbol_of
from squall.services.rules.dispatch import open_sequences
from squall.services.rules.exposure import SYMBOLS_MAX, closing
from squall.services.rules.hub import (
    FLATTEN,
    Request,
    Standing,
    Submitted,
    dead,
    decision,
    flatten_task,
    open_places,
)

OWNERS = {"momentum-wti": "agent-1", "pairs-wti": "agent-2"}
AT = Submitted(7, "momentum-wti", "a0001-wti")


def order(side: str, quantity: int, symbol: str = "wti") -> bytes:
    fields = {"account": "a", "symbol": symbol, "n": 3, "side": side, "quantity": quantity, "price": 2.5}
    return msgspec.json.encode(fields)


def asked(sequence: int = 20, task: str = "t", agent: str = "agent-1", **fields: object) -> Request:
    said = {"task": "x", "key": "x", "job": "x", "status": "ok", **fields}
    return Request(sequence, agent, task, msgspec.convert(said, TaskResult))


def test_a_decision_says_who_asked_and_what_for_as_the_hub_knows_it() -> None:
    request = asked(effects=[order("buy", 5)], number=4, submit_s=2.0, attempt=2, term=99)
    made, held = decision(request, AT, {}, term=11, bound=10)
    assert (made.task, made.key, made.job, made.agent, made.term) == ("t", AT.key, AT.job, "agent-1", 11)
    assert (made.number, made.submit_s, made.attempt, made.request) == (4, 2.0, 2, 20)
    assert (made.status, made.effects, made.reduces, made.denied) == ("ok", (order("buy", 5),), False, "")
    assert held == {"wti": 5}


DEAD = {
    "given up": (asked(status="dead", reason="the handler gave it up"), "the handler gave it up"),
    "cancelled": (asked(status="cancelled", reason="?"), "its request says cancelled"),
    "unreadable": (Request(20, "agent-1", "t", "not msgpack"), "its request cannot be read: not msgpack"),
}


@pytest.mark.parametrize(("request_", "reason"), DEAD.values(), ids=DEAD)
def test_what_asks_for_nothing_is_dead_with_its_reason(request_: Request, reason: str) -> None:
    made, held = decision(request_, AT, {"wti": 3}, term=11, bound=10)
    assert (made.status, made.effects, made.reason) == ("dead", (), reason)
    assert (made.task, made.request, made.agent, made.reduces) == ("t", 20, "agent-1", True)
    assert held == {"wti": 3}


def test_a_decision_that_fits_no_message_is_dead() -> None:
    full = asked(effects=[b"x" * (MESSAGE_BYTES_MAX // EFFECTS_MAX)] * EFFECTS_MAX)
    made, _ = decision(full, AT, {}, term=11, bound=10)
    assert made.status == "dead"
    assert made.reason.startswith("the decision is too large")


def standing(*tasks: tuple[str, Submitted]) -> Standing:
    made = Standing()
    for task, at in tasks:
        made.submitted(task, at)
    return made


def test_only_the_spoke_that_has_the_class_is_answered_and_only_while_the_task_is_open() -> None:
    known = standing(("t", AT))
    assert known.asked(asked(agent="agent-2"), OWNERS, 11) == "foreign"
    assert known.asked(asked(task="never"), OWNERS, 11) == "not-open"
    assert known.asked(asked(), OWNERS, 11) == AT
    known.decide(dead("t", AT, "", asked(), term=11), {})
    assert known.asked(asked(sequence=21), OWNERS, 11) == "not-open"


def gift(task: str, to: str, *, moved: int = 0, had: dict[str, int] | None = None) -> RunTask:
    address = Address(to=to, moved=moved, had=had or {})
    return RunTask(task=task, key=AT.key, job=AT.job, address=address)


def test_where_tasks_are_given_who_was_given_one_before_is_answered_whatever_its_class() -> None:
    known = Standing(addressed=True)
    known.submitted("t", AT)
    assert known.asked(asked(20, agent="agent-2"), OWNERS, 11) == "foreign"
    assert not known.is_given("t")
    known.given.dispatch(gift("t", "agent-2"))
    assert known.asked(asked(20, agent="agent-2"), OWNERS, 11) == "foreign", "that is not stored yet"
    assert not known.is_given("t")
    known.given.stored("t", 15)
    assert known.asked(asked(14, agent="agent-2"), OWNERS, 11) == "foreign", "it asked before"
    assert known.asked(asked(20, agent="agent-1"), OWNERS, 11) == "foreign", "who has its class has it not"
    assert known.asked(asked(20, agent="agent-2"), OWNERS, 11) == AT
    assert known.is_given("t")
    known.given.dispatch(gift("t", "agent-1", moved=1, had={"agent-2": 15}), 30)
    assert known.asked(asked(20, agent="agent-2"), OWNERS, 11) == AT, "who had it may yet end it"
    assert known.asked(asked(29, agent="agent-1"), OWNERS, 11) == "foreign"
    assert known.asked(asked(31, agent="agent-1"), OWNERS, 11) == AT
    known.decide(dead("t", AT, "", asked(), term=11), {})
    assert (known.given.open, known.given.loads.total()) == ({}, 0)


def test_a_snapshot_names_what_is_given_by_its_places_and_what_is_being_given_by_its_name() -> None:
    known = Standing(addressed=True)
    for number, place in enumerate((21, 18, 0)):
        known.submitted(f"t{number}", AT._replace(sequence=number + 1))
        known.given.dispatch(gift(f"t{number}", "agent-1"), place)
    state = known.snapshot("w")
    assert (open_sequences(state.given), state.fresh, state.dispatched) == ([18, 21], ("t2",), 3)
    assert decode(encode(state, MESSAGE_BYTES_MAX), HubState) == state


FLATTENED = {
    "the term it lost": ("agent-1", flatten_task("agent-1", 11), True),
    "an older one": ("agent-1", flatten_task("agent-1", 3), True),
    "one that was never claimed": ("agent-1", flatten_task("agent-1", 12), False),
    "another spoke's": ("agent-1", flatten_task("agent-2", 11), False),
    "of a spoke of like name": ("agent-1", flatten_task("agent-11", 11), False),
    "by who is no spoke": ("hub-1", flatten_task("hub-1", 11), False),
    "no term": ("agent-1", f"{FLATTEN}-agent-1-x", False),
    "an endless term": ("agent-1", f"{FLATTEN}-agent-1-" + "9" * 40, False),
}


@pytest.mark.parametrize(("agent", "task", "answered"), FLATTENED.values(), ids=FLATTENED)
def test_a_spoke_may_ask_to_close_positions_once_for_each_term_it_lost(
    agent: str, task: str, answered: bool
) -> None:
    known = Standing()
    request = asked(task=task, agent=agent, effects=closing({"wti": 1.5, "sp500": 2.0}, agent))
    at = known.asked(request, OWNERS, 11)
    assert (at == Submitted(0, FLATTEN, agent)) is answered
    if isinstance(at, Submitted):
        made, held = decision(request, at, {"wti": -7, "other": 1}, term=11, bound=10)
        assert made.reduces
        assert held == {"other": 1}
        known.decide(made, held)
        assert known.asked(request, OWNERS, 11) == "not-open"
        resumed = Standing(known.snapshot("w"))
        assert resumed.asked(request, OWNERS, 11) == "not-open"


def restored(
    state: HubState, later: Iterable[TaskResult], ingress: dict[int, str], first: int, to: int = 1000
) -> Standing:
    """What `roles.hub_log.restore` and the reading after it come to, as far as it has got."""
    known = Standing(state)
    for made in later:
        known.resume(made)
    known.read_again(max(ingress, default=0))
    known.skip(first - 1)
    places = open_places(state)
    for sequence, task in ingress.items():
        if sequence in places or state.ingress < sequence <= to:
            known.submitted(task, Submitted(sequence, "momentum-wti", "k"))
    return known


@given(st.data())
def test_whoever_follows_a_hub_that_has_not_read_all_again_takes_nothing_decided_for_open(
    data: st.DataObject,
) -> None:
    known = Standing()
    for sequence in range(1, 7):
        known.submitted(f"t{sequence}", Submitted(sequence, "momentum-wti", "k"))
    state, later = known.snapshot("w"), []
    later = [
        decision(asked(sequence=place, task=task, effects=[]), known.open[task], {}, term=1, bound=9)[0]
        for place, task in enumerate(data.draw(st.lists(st.sampled_from(list(known.open)), unique=True)), 1)
    ]
    ingress = {sequence: f"t{sequence}" for sequence in range(1, 7)}
    state = msgspec.structs.replace(state, ingress=data.draw(st.integers(0, 6)))
    state = msgspec.structs.replace(state, open=state.open[: state.ingress])
    first = restored(state, later, ingress, 1, to=data.draw(st.integers(state.ingress, 6)))
    if first.is_caught_up:
        second = restored(first.snapshot("w"), [], ingress, 1)
        assert not {made.task for made in later} & second.open.keys()
        assert len(second.open) + len(later) == 6


def view(known: Standing) -> object:
    return known.positions, known.open, known.decided, known.ingress, known.requests


@given(seed=st.integers(0, 10_000), steps=st.integers(1, 60))
def test_a_successor_knows_what_its_predecessor_knew_wherever_the_snapshot_lies(
    seed: int, steps: int
) -> None:
    chance = random.Random(seed)
    known, state = Standing(), Standing().snapshot("")
    ingress: dict[int, str] = {}
    later: list[TaskResult] = []
    first = 1
    for step in range(1, steps + 1):
        if known.open and chance.random() < 0.5:
            task = chance.choice(list(known.open))
            request = asked(sequence=step, task=task, effects=[order("buy", chance.randint(0, 5))])
            made, held = decision(request, known.open[task], known.positions, term=1, bound=9)
            known.decide(made, held)
            later.append(made)
        else:
            ingress[step] = f"t{step}"
            known.submitted(f"t{step}", Submitted(step, "momentum-wti", "k"))
        if chance.random() < 0.1:
            state, later = known.snapshot("w"), []
        if chance.random() < 0.2:
            first = known.kept_from()
            ingress = {place: task for place, task in ingress.items() if place >= first}
    assert view(restored(decode(encode(state), HubState), later, ingress, first)) == view(known)


def test_a_snapshot_of_everything_there_may_be_fits_a_message() -> None:
    known = Standing()
    known.positions = {f"{number:03}" + "\N{EURO SIGN}" * 125: 2**53 for number in range(SYMBOLS_MAX)}
    chance = random.Random(3)
    place = 2**40
    for number in range(WINDOW_MAX):
        place += chance.choice([1, 1, 1, 2, 60_000])
        known.submitted(f"t{number}", Submitted(place, "momentum-wti", "k"))
    known.flattened = {f"agent-{number}": 2**53 for number in range(200)}
    state = known.snapshot("w" * 16)
    assert open_places(decode(encode(state), HubState)) == {at.sequence for at in known.open.values()}


def test_what_is_kept_of_the_ingress_begins_with_the_oldest_open_task_of_all_or_of_a_class() -> None:
    known = standing(
        ("a", Submitted(3, "momentum-wti", "k")),
        ("b", Submitted(4, "pairs-wti", "k")),
        ("c", Submitted(5, "pairs-wti", "k")),
    )
    known.decide(dead("b", known.open["b"], "", None, term=1), {})
    assert known.kept_from() == 3
    assert dict(known.kept_from_by_class(["momentum-wti", "pairs-wti", "arbitrage-wti"])) == {
        "momentum-wti": 3,
        "pairs-wti": 5,
        "arbitrage-wti": 6,
    }
    known.decide(dead("a", known.open["a"], "", None, term=1), {})
    known.decide(dead("c", known.open["c"], "", None, term=1), {})
    assert known.kept_from() == 6


def test_what_is_read_while_a_class_is_trimmed_is_kept() -> None:
    known = standing(("a", Submitted(3, "momentum-wti", "k")))
    kept = known.kept_from_by_class(["momentum-wti", "pairs-wti"])
    for kind, below in kept:  # each a wait for the broker
        known.submitted(f"later-{kind}", Submitted(below, "pairs-wti", "k"))
    assert dict(kept) == {"momentum-wti": 3, "pairs-wti": 4}


@pytest.mark.parametrize("agents", [1, 5, 6, 12])
def test_every_class_has_one_spoke_and_every_spoke_a_class(agents: int) -> None:
    dealt = owners(StarSpec(agents=agents))
    assert len(dealt) == 12
    assert set(dealt.values()) == {f"agent-{number}" for number in range(1, agents + 1)}
    assert {symbol_of(kind) for kind in dealt} == {"sp500", "nasdaq", "wti"}
