"""Whether a swarm can be where it is asked for: is there room, and does it reach what it needs."""

from __future__ import annotations

from pathlib import Path

from squall.bus.border import printable
from squall.services.effects.kinds import is_outside
from squall.services.errors import SpecError
from squall.services.handlers.kinds import kind_of
from squall.services.intake.source import is_streamed
from squall.services.launch.places import PROCESSES
from squall.services.launch.room import check_room
from squall.services.run.spec import Spec, is_own

SHOWN_MAX = 100


def check_reach(spec: Spec, url: str | None, on: str) -> None:
    """See that a swarm can be there.

    Args:
        url: An outside broker, or None for one of our own.
        on: Where its nodes are to run.

    Raises:
        SpecError: It cannot.
    """
    check_room(spec.agents)
    if on == PROCESSES:
        return
    if is_own(spec.handler) and Path.cwd() in (Path("/"), Path.home()):
        raise SpecError(
            f"agents on {on} would be shown all of {Path.cwd()}, as a handler of yours is found from there",
            "give the command in a folder of its own",
        )
    wants = {
        "a broker of yours": url is not None,
        f"the handler {printable(spec.handler, SHOWN_MAX)}": kind_of(spec.handler).outside == "a network",
        f"the sink {printable(spec.effects, SHOWN_MAX)}": is_outside(spec.effects),
        f"the tasks of {printable(spec.tasks_from, SHOWN_MAX)}": is_streamed(spec.tasks_from),
        "variables of the handler": bool(spec.handler_environment),
    }
    missed = next((what for what, is_wanted in wants.items() if is_wanted), "")
    if missed:
        raise SpecError(
            f"nodes on {on} cannot have {missed} yet: they have no way out, and no variables of yours",
            "leave --on out to run nodes as processes",
        )
