"""A candidate's states, as a table."""

from __future__ import annotations

import itertools
from typing import get_args

import pytest

from squall.services.rules.leading import TRANSITIONS, Event, ForbiddenTransitionError, State, follow

STATES: tuple[State, ...] = get_args(State)
EVENTS: tuple[Event, ...] = get_args(Event)

LIVES: dict[str, list[Event]] = {
    "asked to stop": ["free", "leads", "caught up", "leave", "resigned"],
    "asked to stop before it has caught up": ["free", "leads", "leave", "resigned"],
    "deposed": ["free", "leads", "caught up", "fenced", "fenced", "resigned"],
    "deposed while it catches up": ["free", "leads", "fenced", "caught up", "resigned"],
    "deposed while it steps down": ["free", "leads", "caught up", "leave", "fenced", "resigned"],
    "asked to stop when it is deposed and does not know": ["free", "leads", "fenced", "leave", "resigned"],
    "second": ["free", "refused"],
    "deposed before it has written": ["free", "fenced", "resigned"],
    "without an answer to its first write": ["free", "resigned"],
    "without a broker": ["free", "leads", "caught up", "resigned"],
}


@pytest.mark.parametrize("events", LIVES.values(), ids=LIVES.keys())
def test_every_way_to_lead_ends_in_standing_by(events: list[Event]) -> None:
    state: State = "standby"
    for event in events:
        state = follow(state, event)
    assert state == "standby"


def test_each_state_is_left_by_what_the_table_says_and_by_nothing_else() -> None:
    assert set(TRANSITIONS) == set(STATES)
    for state, event in itertools.product(STATES, EVENTS):
        if event in TRANSITIONS[state]:
            assert follow(state, event) in STATES
        else:
            with pytest.raises(ForbiddenTransitionError):
                follow(state, event)


def test_only_a_candidate_whose_claim_was_shown_to_stand_comes_to_lead() -> None:
    into = {event: {s for s in STATES if event in TRANSITIONS[s]} for event in EVENTS}
    assert into["free"] == {"standby"}
    assert into["leads"] == {"acquiring"}
    assert {s for s in STATES if "active" in TRANSITIONS[s].values()} == {"catching-up"}


def test_every_state_can_be_reached_and_leads_back() -> None:
    reached: set[State] = {"standby"}
    while len(wider := reached | {to for state in reached for to in TRANSITIONS[state].values()}) > len(
        reached
    ):
        reached = wider
    assert reached == set(STATES)
    assert all("standby" in TRANSITIONS[s].values() for s in STATES if "resigned" in TRANSITIONS[s])
