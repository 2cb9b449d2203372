"""An operator has a breaker stand otherwise: whoever leads is told, until the broker says that it stands so.

operator ─► all who may lead ─► the one that does ─► what is said of the breaker, behind the fence
                 ▲                                            │
                 └── told again, until it is seen there ◄─────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

from squall.bus import log as bus_log
from squall.bus.codec import decode
from squall.bus.errors import RequestError
from squall.services.errors import LaunchError, SpecError
from squall.services.rules.breaker import VERBS, State
from squall.services.rules.shared_breaker import Said

if TYPE_CHECKING:
    from squall.services.run.swarm import Swarm

AGAIN_S = 1.0
"""After how long it is said again: who led may lead no more."""

LOOK_S = 0.05

TAKEN_S = 10.0
"""How much longer than a lease it may take until the breaker stands so."""

FORCED: Mapping[str, State] = {"force-open": "forced-open", "disable": "disabled", "observe": "observe"}
"""How a breaker stands by each verb but the one that lets it go."""


async def operate(swarm: Swarm, stream: str, subjects: Mapping[str, str], target: str, verb: str) -> str:
    """Have a breaker stand as an operator says, and tell how it stands then, in words.

    Args:
        stream: Where it is said how breakers stand.
        subjects: Where of each in that stream, by its name.
        target: Which.
        verb: One of `VERBS`.

    Raises:
        SpecError: There is no such breaker, or no such verb.
        LaunchError: It does not stand so: nobody leads, or the broker does not answer.
    """
    if target not in subjects:
        raise SpecError(f"there is no breaker of {target}", f"name one of {', '.join(subjects)}")
    if verb not in VERBS:
        raise SpecError(f"a breaker does not know {verb}", f"say one of {', '.join(VERBS)}")
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(swarm.spec.lease_s + TAKEN_S):
            while True:
                await swarm.tell_leaders(target, verb)
                until_s = loop.time() + AGAIN_S
                while loop.time() < until_s:
                    state = await _state(swarm, stream, subjects[target])
                    if state is not None and is_done(verb, state):
                        return f"the breaker of {target} is {state}"
                    await asyncio.sleep(LOOK_S)
    except TimeoutError:
        raise LaunchError(
            f"nobody has had the breaker of {target} {verb}: no node leads, or the broker does not answer",
            "say it again once one does",
        ) from None


def is_done(verb: str, state: State) -> bool:
    """Whether a breaker stands as a verb has it: as that says, or, once it is let go, as no verb does."""
    return state == FORCED[verb] if verb in FORCED else state not in FORCED.values()


async def _state(swarm: Swarm, stream: str, subject: str) -> State | None:
    """How a breaker stands, as was said last; None if the broker does not answer."""
    try:
        record = await bus_log.last(swarm.observer, stream, subject)
    except RequestError:
        return None
    return "closed" if record is None else decode(record.data, Said).state
