"""What the status of an answer that is no success means; services of NATS use those of HTTP. Pure.

3xx  the task is dead: nobody is followed elsewhere
4xx  the task is dead; but 408, 425 and 429 are tried again, after what they ask for
5xx  tried again, after what it asks for
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from email.utils import parsedate_to_datetime
from http import HTTPStatus

import msgspec

from squall.bus.border import printable
from squall.services.handlers import PoisonError, answers, outcome
from squall.services.handlers.mistakes import Mistake

RETRY_AFTER_MAX_S = 60.0
"""No service is waited for longer because it asks for it."""

AGAIN = (408, 425, 429)
"""Statuses of 4xx that say nothing against the task."""

GIVEN_UP = (400, 422)
"""Statuses by which a service gives a task up, as a function does by `PoisonError`."""


def refused(status: int, text: bytes, after_s: float = 0.0, again: Collection[int] = AGAIN) -> Mistake:
    """What an answer of no success means.

    Args:
        status: As HTTP numbers them.
        text: What it says of itself.
        after_s: How long it asks to be left alone.
        again: Those of 4xx that say nothing against the task.
    """
    name = next((f"{status} {known.phrase}" for known in HTTPStatus if known == status), str(status))
    why = f": {answers.shown(text)}" if text.strip() else ""
    said = f"answered {name}{why}"
    if 300 <= status < 400:
        said = f"answered {name}, and nobody is followed elsewhere: name the URL that it leads to"
        return answers.mistake("answered", said, final=True)
    if status in GIVEN_UP:
        return outcome.raised(PoisonError(f"it {said}"))
    if 400 <= status < 500 and status not in again:
        return answers.mistake("answered", said, final=True)
    return answers.mistake("broke", said, after_s=min(max(0.0, after_s), RETRY_AFTER_MAX_S))


def retry_after_s(said: str, now_s: float) -> float:
    """How long a service asks to be left alone, by its ``Retry-After``: seconds, or a date; within a bound.

    Args:
        now_s: In seconds since the epoch.
    """
    if said.strip().isdecimal() and len(said) < 20:
        asked_s = float(said)
    else:
        try:
            asked_s = parsedate_to_datetime(said).timestamp() - now_s
        except (ValueError, TypeError, OverflowError):
            return 0.0
    return min(max(0.0, asked_s), RETRY_AFTER_MAX_S)


ERROR_CODE, ERROR = "Nats-Service-Error-Code", "Nats-Service-Error"
"""Headers in which a service of NATS says that it did not do what it was asked."""

AGAIN_OF_SERVICES = (*AGAIN, 409)
"""Services of NATS, agents among them, say 409 while they do something else."""


class _Said(msgspec.Struct):
    """What the body of an error of a service may hold."""

    retry_after_s: float = 0.0


def refused_by_service(headers: Mapping[str, str] | None, text: bytes) -> Mistake | None:
    """What a reply of a service of NATS means that says in its headers that it is none; None if it is one."""
    code = (headers or {}).get(ERROR_CODE)
    if code is None:
        return None
    said = (headers or {}).get(ERROR, "").encode() or text
    if not (code.isdecimal() and code.isascii() and len(code) == 3):
        return answers.mistake(
            "broke", f"answered with the error {printable(code, 20)}: {answers.shown(said)}"
        )
    try:
        after_s = msgspec.json.decode(text, type=_Said).retry_after_s
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        after_s = 0.0
    return refused(int(code), said, after_s, AGAIN_OF_SERVICES)
