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


MARK = b"\xef\xbb\xbf"
"""Some programs put it before any text in UTF-8."""


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
    keys: Sequence[str], status: int, asks_s: float | None, said: str, text: bytes, *, is_whole: bool = True
) -> Sequence[Outcome]:
    """What became of each effect of a batch that was answered.

    Args:
        asks_s: For how long the answer asks to be left alone; None if it does not.
        said: The answer in words.
        text: Its body, or the beginning of it.
        is_whole: Whether that was read to its end.
    """
    if 200 <= status < 300 and status not in DONE_BEFORE:
        return _of_each(keys, text.removeprefix(MARK), is_whole=is_whole)
    outcome = of_status(status, asks_s, said)
    if len(keys) > 1 and isinstance(outcome, Refused | Carried):
        outcome = Parted(said)  # a repeated key among them may be what stopped all
    return [outcome] * len(keys)


def _of_each(keys: Sequence[str], text: bytes, *, is_whole: bool) -> Sequence[Outcome]:
    begins = text.lstrip()[:1]
    if begins != b"[" and (begins or is_whole):
        return [Carried()] * len(keys)  # however long it is
    if not is_whole:
        return [Unknown("its answer is too long to be read")] * len(keys)
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
