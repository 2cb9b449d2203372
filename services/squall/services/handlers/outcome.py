"""What came of one attempt: what a handler returned or raised, as `Done` or a `Mistake`.

    returned ──► effects, each one JSON value ──► Done
        └── no JSON, no number, too many, too large ──► Mistake, for good
    raised ──► Mistake, with one printable sentence, and where

Reading what a handler made can run the handler's own code: an iterator, a ``__str__``, a property. So nothing
here trusts it: whatever that code does ends as a `Mistake` too, and these functions never raise.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import numbers
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from squall.bus.border import printable
from squall.bus.codec import MESSAGE_BYTES_MAX
from squall.bus.ended import Done, Ended
from squall.bus.messages import EFFECTS_MAX
from squall.services.handlers import PoisonError, Result
from squall.services.handlers.bounded import TooDeepError, TooLargeError, count
from squall.services.handlers.mistakes import Frame, IsOwn, Kind, Mistake, frames_of, places

RESULT_BYTES_MAX = MESSAGE_BYTES_MAX - 8 * 1024
"""Of effects and value together; the rest of the message is for the task's names and the lengths."""

DEPTH_MAX = 64
"""Levels of lists and objects in one effect. Every reader must be able to follow, on a smaller stack."""

TOO_DEEP = f"it is nested more than {DEPTH_MAX} levels deep"
NO_WAY_ROUND = "only the last of stages that are closed has a task go round"
CIRCLE = "it contains itself, or is nested too deeply"


class _Refused(Exception):
    """This cannot be sent; the message says why."""


SAID_LENGTH_MAX = 150
"""Of what an exception says of itself, where a place follows it, in characters."""


def _no_file(file: str) -> bool:
    return False


def raised(error: BaseException, is_own: IsOwn = _no_file) -> Mistake:
    """What an exception of a handler means.

    Args:
        is_own: Which files are the handler's own, so that where it was raised is told.
    """
    error = _told(error)
    if issubclass(type(error), PoisonError):
        said = _text(error) or "it does not say why"
        return _mistake("gave-up", "the handler gave it up: ", said, frames_of(error, is_own), final=True)
    return _mistake("raised", "the handler raised ", describe(error), frames_of(error, is_own))


def cancelled() -> Mistake:
    """What it means that a handler cancelled the attempt that it was."""
    return _mistake("raised", "", "the handler cancelled itself", ())


def late(timeout_s: float, frames: tuple[Frame, ...] = ()) -> Mistake:
    """What it means that a handler did not return in time; the frames are where it stood."""
    said = f"the handler did not return within {timeout_s:g} s"
    return _mistake("late", "", said, frames, at="; it stood at")


def _mistake(
    kind: Kind, what: str, said: str, frames: tuple[Frame, ...], *, at: str = ", at", final: bool = False
) -> Mistake:
    reason = printable(what + said)
    if frames:
        reason = printable(f"{printable(what + said, SAID_LENGTH_MAX)}{at} {places(frames)}")
    return Mistake(
        reason=reason,
        final=final,
        kind=kind,
        said=printable(said),
        trace=tuple(str(frame) for frame in frames),
    )


def returned(value: object) -> Done | Mistake:
    """What the return value of a handler means."""
    try:
        return _done(value)
    except _Refused as refusal:
        reason = str(refusal)
    except RecursionError:
        reason = CIRCLE
    except BaseException as error:  # the value's own code ran, and may raise anything
        reason = describe(error)
    return _mistake("returned", "the handler returned what cannot be sent: ", reason, (), final=True)


def gone_round(ended: Ended, why_not: str = NO_WAY_ROUND) -> Ended:
    """What an attempt came to, where its task may be to go round again.

    Args:
        why_not: Why it cannot here; empty if it can.
    """
    if not why_not or not isinstance(ended, Done) or not ended.again:
        return ended
    return _mistake("returned", "the handler returned again=True, and ", why_not, (), final=True)


def describe(error: BaseException) -> str:
    """An exception as one printable text: its type, and what it says of itself.

    Of an exception group that holds one exception, that one is told: the group says nothing of it.
    """
    error = _told(error)
    said = _text(error)
    return printable(f"{_type_name(error)}: {said}" if said else _type_name(error))


def _told(error: BaseException) -> BaseException:
    """The exception that is told of one: of a group that holds one, that one."""
    while type(error) in (ExceptionGroup, BaseExceptionGroup) and len(error.exceptions) == 1:  # type: ignore[attr-defined]
        error = error.exceptions[0]  # type: ignore[attr-defined]
    return error


def _text(error: BaseException) -> str:
    """What an exception says of itself, by ``str``, else by ``repr``."""
    for show in (str, repr):
        try:
            return str.__str__(show(error))  # plain, should it be of a subclass with ideas of its own
        except BaseException:  # the exception's own code ran, and may raise anything
            continue
    return "it cannot be shown"


def _type_name(value: object) -> str:
    """The name of a value's type, past whatever the type has to say about it."""
    return str.__str__(type.__dict__["__name__"].__get__(type(value)))


def _done(value: object) -> Done | Mistake:
    intended, extra = _parts(value)
    again = _again(value, intended)
    if len(intended) > EFFECTS_MAX:
        raise _Refused(f"{len(intended)} effects, and a task may have {EFFECTS_MAX}")
    effects = []
    size = len(extra)
    for place, effect in enumerate(intended):
        try:
            encoded = _encoded(effect, RESULT_BYTES_MAX - size)
        except TooLargeError as error:
            size += error.bytes_min
            said = f"the result is too large: at least {size:,} bytes, and there may be {RESULT_BYTES_MAX:,}"
            return _mistake("returned", "", said, (), final=True)
        except _Refused as refusal:
            raise _Refused(f"effect {place + 1}: {refusal}" if len(intended) > 1 else str(refusal)) from None
        size += len(encoded)
        effects.append(encoded)
    if size > RESULT_BYTES_MAX:
        said = f"the result is too large: {size:,} bytes, and there may be {RESULT_BYTES_MAX:,}"
        return _mistake("returned", "", said, (), final=True)
    return Done(tuple(effects), extra, again)


def _again(value: object, intended: tuple[Any, ...]) -> bool:
    """Whether a return value says that its task is to go round again."""
    again = value.again if isinstance(value, Result) else False
    if not isinstance(again, bool):
        raise _Refused(f"Result.again is of type {_type_name(again)}; give True or False")
    if again and intended:
        raise _Refused("effects with again=True; only what ends has effects, and this goes round once more")
    return again


def _encoded(effect: object, bytes_max: int) -> bytes:
    """An effect as JSON.

    Raises:
        TooLargeError: It takes more bytes than so many.
        _Refused: It cannot be sent.
    """
    try:
        count(effect, bytes_max, DEPTH_MAX)
    except TooDeepError as error:
        raise _Refused(CIRCLE if error.is_circle else TOO_DEEP) from None
    encoded = _encoder.encode(effect)
    if len(encoded) > bytes_max:
        raise TooLargeError(len(encoded))
    _check(effect, encoded)
    return encoded


def _parts(value: object) -> tuple[tuple[Any, ...], bytes]:
    """The effects in a return value, and the value beside them."""
    if isinstance(value, Result):
        effects, extra = value.effects, value.value
        if not isinstance(effects, tuple | list):
            raise _Refused(f"Result.effects is of type {_type_name(effects)}; give a tuple of effects")
        if not isinstance(extra, bytes):
            raise _Refused(f"Result.value is of type {_type_name(extra)}; give bytes")
        return tuple(effects), b"".join((extra, b""))  # plain bytes, should they be of a subclass
    if value is None:
        return (), b""
    if isinstance(value, list | tuple):
        return tuple(value), b""
    if inspect.isgenerator(value) or inspect.isasyncgen(value):
        raise _Refused("a generator; return a list of effects instead of yielding them")
    if isinstance(value, Iterator | AsyncIterator):
        raise _Refused(f"an iterator of type {_type_name(value)}; return a list of effects")
    return (value,), b""


def _plain(value: Any) -> Any:
    """The plain value in one that msgspec does not know.

    Raises:
        _Refused: There is none.
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bytes):
        return b"".join((value, b""))
    if isinstance(value, msgspec.Raw):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            return msgspec.json.decode(value)
        return None
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        return value.item()  # a scalar of NumPy, or of what follows it
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if inspect.isawaitable(value):
        raise _Refused(f"a {_type_name(value)} that nobody has awaited")
    raise _Refused(f"a value of type {_type_name(value)} cannot be written as JSON")


_encoder = msgspec.json.Encoder(enc_hook=_plain, decimal_format="number")


def _check(effect: object, encoded: bytes) -> None:
    """See that an encoded effect says what was meant, and that every reader can read it.

    Raises:
        _Refused: It does not, or one could not.
    """
    read: Any = None
    unreadable = ""
    try:
        read = msgspec.json.decode(encoded)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        unreadable = str(error)
    if unreadable or b"null" in encoded:
        # JSON has no NaN and no infinity: a float that is none was written as null, a Decimal as a word.
        built = msgspec.to_builtins(effect, builtin_types=(Decimal,), enc_hook=_plain)
        found = _not_finite(built, "")
        if found is not None:
            raise _Refused(f"{found}, and JSON has no such number")
    if unreadable:
        raise _Refused(f"it is not one JSON value: {unreadable}")
    if encoded.count(b"[") + encoded.count(b"{") > DEPTH_MAX and _is_deeper(read, DEPTH_MAX):
        raise _Refused(TOO_DEEP)


def _not_finite(value: Any, place: str) -> str | None:
    """Where a number is none, and what is there instead; None if all are numbers."""
    if isinstance(value, float | Decimal):
        is_finite = value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)
        return None if is_finite else f"{place or 'the effect'} is {value}"
    inside: Any = ()
    if isinstance(value, dict):
        inside = ((f"{place}.{name}" if place else str(name), item) for name, item in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        inside = ((f"{place}[{index}]", item) for index, item in enumerate(value))
    return next((found for name, item in inside if (found := _not_finite(item, name)) is not None), None)


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether a value has more levels of lists and objects than so many. Takes no stack of its own."""
    level = [value]
    for _ in range(levels + 1):
        holders = [item for item in level if isinstance(item, list | dict)]
        if not holders:
            return False
        level = [
            item for holder in holders for item in (holder.values() if isinstance(holder, dict) else holder)
        ]
    return True
