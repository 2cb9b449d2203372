"""A candidate's states, from standing by to leading and back. Pure.

    STANDBY ──free──► ACQUIRING ──leads──► CATCHING_UP ──caught up──► ACTIVE
       ▲  ▲               │ refused             │ leave                 │ leave
       │  └───────────────┘                     └────► STEPPING_DOWN ◄──┘
       │                                                     │ resigned
       ├─────────────────────────────────────────────────────┘
       └── resigned ── FENCED ◄── fenced ── any state that has claimed a term

A candidate whose broker does not answer resigns from whatever state it is in: it does not know whether it
leads, and stands again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

State = Literal["standby", "acquiring", "catching-up", "active", "stepping-down", "fenced"]

Event = Literal["free", "refused", "leads", "caught up", "leave", "fenced", "resigned"]
"""
``free``: the seat looks free, and is claimed.
``refused``: the claim failed, perhaps because somebody else was first.
``leads``: the claim stands, as a first write behind its fence has shown.
``caught up``: what earlier terms stored is read.
``leave``: the leader was asked to stop or to step down, and finishes what it has begun.
``fenced``: a write was refused because a newer term exists.
``resigned``: the term is over for this candidate.
"""

TRANSITIONS: Final[Mapping[State, Mapping[Event, State]]] = {
    "standby": {"free": "acquiring"},
    "acquiring": {
        "refused": "standby",
        "leads": "catching-up",
        "fenced": "fenced",
        "resigned": "standby",
    },
    "catching-up": {
        "caught up": "active",
        "leave": "stepping-down",
        "fenced": "fenced",
        "resigned": "standby",
    },
    "active": {"leave": "stepping-down", "fenced": "fenced", "resigned": "standby"},
    "stepping-down": {"fenced": "fenced", "resigned": "standby"},
    # What the role does before it learns of it changes nothing.
    "fenced": {"caught up": "fenced", "leave": "fenced", "fenced": "fenced", "resigned": "standby"},
}


class ForbiddenTransitionError(Exception):
    """An event that a state does not allow: a defect."""


def follow(state: State, event: Event) -> State:
    """The state after an event.

    Raises:
        ForbiddenTransitionError: The state does not allow it.
    """
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise ForbiddenTransitionError(f"{event!r} while {state}") from None
