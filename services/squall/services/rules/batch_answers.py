"""What the answer to a batch of effects means for each of them. Pure.

2xx and a list of {"key", "status"} ─► each by its own status; unknown, where nothing is told of one
2xx and anything else               ─► all carried out
408, 425, 429, 5xx, no answer       ─► what it would mean of one, of each
any other                           ─► parted: each is asked alone, which tells the one it is about
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from squall.bus.border import printable
from squall.services.rules.sinks import DONE_BEFORE, Carried, Outcome, Parted, Refused, Unknown, of_status

REASON_LENGTH_MAX = 150
"""Of what is told of one effect, in characters."""

TOLD_BYTES_MAX = 1_000
"""What an answer may tell of one effect, on average; one with more is not read to its end."""


class Told(msgspec.Struct, frozen=True):
    """What an answer tells of one effect.

    Attributes:
        status: As the status of an answer to it alone would be.
    """

    key: str
    status: int = 200
    reason: str = ""


_tolds = msgspec.json.Decoder(list[Told])


def outcomes(
    keys: Sequence[str], status: int, asks_s: float | None, said: str, text: bytes | None
) -> Sequence[Outcome]:
    """What became of each effect of a batch that was answered.

    Args:
        asks_s: For how long the answer asks to be left alone; None if it does not.
        said: The answer in words.
        text: Its body; None if it was not read to its end.
    """
    if 200 <= status < 300 and status not in DONE_BEFORE:
        return _of_each(keys, text)
    outcome = of_status(status, asks_s, said)
    if len(keys) > 1 and isinstance(outcome, Refused | Carried):
        outcome = Parted(said)  # a repeated key among them may be what stopped all
    return [outcome] * len(keys)


def _of_each(keys: Sequence[str], text: bytes | None) -> Sequence[Outcome]:
    if text is None:
        return [Unknown("its answer is too long to be read")] * len(keys)
    if not text.lstrip().startswith(b"["):
        return [Carried()] * len(keys)
    try:
        tolds = _tolds.decode(text)
    except (ValueError, RecursionError) as error:  # msgspec's own errors are ValueErrors
        return [Unknown(printable(f"its answer cannot be read: {error}"))] * len(keys)
    found: dict[str, Outcome] = {}
    for told in tolds:
        reason = printable(told.reason, REASON_LENGTH_MAX)
        outcome = of_status(
            told.status, None, f"it told of it {told.status}{f': {reason}' if reason else ''}"
        )
        if found.setdefault(told.key, outcome) != outcome:
            found[told.key] = Unknown("it told two things of it")
    return [found.get(key) or Unknown("its answer does not tell of it") for key in keys]
