"""What a handler returned or raised, as an outcome; whatever it is, there is one."""

from __future__ import annotations

import asyncio
import concurrent.futures
import math
import re
from collections import UserDict
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from squall.bus.border import REASON_LENGTH_MAX
from squall.bus.codec import decode, encode
from squall.bus.ended import Done, Failed
from squall.bus.messages import EFFECTS_MAX, TaskResult
from squall.services.handlers import PoisonError, Result, outcome
from squall.services.handlers.bounded import TooLargeError, count
from squall.services.handlers.outcome import DEPTH_MAX, RESULT_BYTES_MAX, raised, returned


class Silent(Exception):
    def __str__(self) -> str:
        return None  # type: ignore[return-value]


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    def __repr__(self) -> str:
        raise KeyboardInterrupt


class Showy(str):
    def __len__(self) -> int:
        raise RuntimeError("no length")


class Subclassed(Exception):
    def __str__(self) -> str:
        return Showy("fine all the same")


class Deceptive(Exception):
    @property
    def __class__(self) -> Any:
        raise SystemExit(9)

    @__class__.setter
    def __class__(self, value: Any) -> None:
        pass


class Broke(PoisonError):
    def __str__(self) -> str:
        raise ValueError


class OwnFloat(float):
    pass


class Scalar:
    """As NumPy's are."""

    ndim = 0

    def __init__(self, value: Any) -> None:
        self.value = value

    def item(self) -> Any:
        return self.value


class Strange:
    pass


@dataclass
class Point:
    price: float


class Lazy(list[Any]):
    def __iter__(self) -> Iterator[Any]:
        yield {"a": 1}
        raise asyncio.CancelledError


class Unreadable:
    def __getattribute__(self, name: str) -> Any:
        raise GeneratorExit


def circle() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["again"] = made
    return made


def deep(levels: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(levels - 1):
        made = [made]
    return made


def generator() -> Iterator[int]:
    yield 1


async def stream() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError("no such account"), "the handler raised ValueError: no such account"),
        (ValueError(), "the handler raised ValueError"),
        (KeyError("k"), "the handler raised KeyError: 'k'"),
        (Silent(1), "the handler raised Silent: Silent(1)"),
        (Broken(1), "the handler raised Broken: it cannot be shown"),
        (Subclassed(), "the handler raised Subclassed: fine all the same"),
        (asyncio.CancelledError(), "the handler raised CancelledError"),
        (concurrent.futures.CancelledError(), "the handler raised CancelledError"),
        (GeneratorExit(), "the handler raised GeneratorExit"),
        (SystemExit(3), "the handler raised SystemExit: 3"),
        (KeyboardInterrupt(), "the handler raised KeyboardInterrupt"),
        (StopIteration(4), "the handler raised StopIteration: 4"),
        (ExceptionGroup("g", [ValueError("inside")]), "the handler raised ValueError: inside"),
        (ValueError("a\x1b[2Jb\ud800\nc"), "the handler raised ValueError: a\\x1b[2Jb\\ud800 c"),
    ],
)
def test_whatever_is_raised_fails_the_attempt_with_its_type_and_what_it_says(
    error: BaseException, reason: str
) -> None:
    ended = raised(error)
    assert (ended.reason, ended.final, ended.kind, ended.trace) == (reason, False, "raised", ())


def test_poison_is_for_good_whatever_it_says() -> None:
    for error, said in ((PoisonError("bad input"), "bad input"), (Broke("x"), "Broke('x')")):
        ended = raised(error)
        assert (ended.reason, ended.final) == (f"the handler gave it up: {said}", True)
        assert (ended.kind, ended.said) == ("gave-up", said)


def test_a_reason_has_a_bound() -> None:
    ended = raised(PoisonError("x" * 10_000_000))
    assert len(ended.reason) == REASON_LENGTH_MAX


@pytest.mark.parametrize(
    ("value", "effects", "extra"),
    [
        (None, [], b""),
        ([], [], b""),
        ({"a": 1}, [{"a": 1}], b""),
        ([{"a": 1}, {"a": None}], [{"a": 1}, {"a": None}], b""),
        (({"a": "null"},), [{"a": "null"}], b""),
        (Result(), [], b""),
        (Result(value=b"v"), [], b"v"),
        (Result(({"a": 1},), b"v"), [{"a": 1}], b"v"),
        (Result([{"a": 1}]), [{"a": 1}], b""),  # type: ignore[arg-type]
        ({"price": Decimal("1.50")}, [{"price": 1.5}], b""),
        ({"price": OwnFloat(1.5)}, [{"price": 1.5}], b""),
        ({"price": Scalar(1.5), "up": Scalar(True)}, [{"price": 1.5, "up": True}], b""),
        ({"name": Showy("x")}, [{"name": "x"}], b""),
        (Point(2.5), [{"price": 2.5}], b""),
        (msgspec.Raw(b'{"a":1}'), [{"a": 1}], b""),
        ([{}] * EFFECTS_MAX, [{}] * EFFECTS_MAX, b""),
        ({"deep": deep(DEPTH_MAX - 1)}, [{"deep": deep(DEPTH_MAX - 1)}], b""),
        ([{"wide": [[]] * 500}], [{"wide": [[]] * 500}], b""),
    ],
)
def test_what_is_returned_becomes_effects_and_a_value(value: Any, effects: list[Any], extra: bytes) -> None:
    ended = returned(value)
    assert isinstance(ended, Done), ended
    assert [msgspec.json.decode(effect) for effect in ended.effects] == effects
    assert ended.value == extra


def test_what_lies_of_its_own_type_is_told_by_its_true_one() -> None:
    # No parameters: pytest itself cannot show these.
    assert raised(Deceptive("d")).reason == "the handler raised Deceptive: d"
    ended = returned(Unreadable())
    assert isinstance(ended, Failed)
    assert (ended.reason, ended.final) == (UNSENDABLE + "GeneratorExit", True)


UNSENDABLE = "the handler returned what cannot be sent: "


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Result(value="text"), "Result.value is of type str; give bytes"),  # type: ignore[arg-type]
        (Result(value=None), "Result.value is of type NoneType; give bytes"),  # type: ignore[arg-type]
        (Result({"a": 1}), "Result.effects is of type dict; give a tuple of effects"),  # type: ignore[arg-type]
        (Result(generator()), "Result.effects is of type generator; give"),  # type: ignore[arg-type]
        (Strange(), "a value of type Strange cannot be written as JSON"),
        ([{"a": 1}, {"b": Strange()}], "effect 2: a value of type Strange cannot be written as JSON"),
        (UserDict(a=1), "a value of type UserDict cannot be written as JSON"),
        (1j, "a value of type complex cannot be written as JSON"),
        (generator(), "a generator; return a list of effects instead of yielding them"),
        (stream(), "a generator; return a list of effects instead of yielding them"),
        (map(str, [1]), "an iterator of type map; return a list of effects"),
        (Lazy(), "CancelledError"),
        ({"price": math.nan}, "price is nan, and JSON has no such number"),
        ({"price": math.inf}, "price is inf, and JSON has no such number"),
        (
            {"legs": [{"price": 1.0}, {"price": -math.inf}]},
            "legs[1].price is -inf, and JSON has no such number",
        ),
        ([{"price": 1.0}, {"price": math.nan}], "effect 2: price is nan, and JSON has no such number"),
        (Point(math.nan), "price is nan, and JSON has no such number"),
        (math.nan, "the effect is nan, and JSON has no such number"),
        ({"price": Decimal("NaN")}, "price is NaN, and JSON has no such number"),
        ({"price": Decimal("sNaN")}, "price is sNaN, and JSON has no such number"),
        ({"price": Decimal("1E+5000")}, "it is not one JSON value: Number out of range"),
        ({"price": Scalar(math.nan)}, "price is nan, and JSON has no such number"),
        ({"text": "\ud800"}, "UnicodeEncodeError: "),
        (msgspec.Raw(b"{oops"), "it is not one JSON value: "),
        (msgspec.Raw(b'{},{"order_id":1}'), "it is not one JSON value: "),
        ({"a": msgspec.Raw(b"\xff")}, "it is not one JSON value: "),
        (circle(), "it contains itself, or is nested too deeply"),
        ({"self": [circle()]}, "it contains itself, or is nested too deeply"),
        (deep(5000), f"it is nested more than {DEPTH_MAX} levels deep"),
        ({"deep": deep(DEPTH_MAX)}, f"it is nested more than {DEPTH_MAX} levels deep"),
        ([{}] * (EFFECTS_MAX + 1), f"{EFFECTS_MAX + 1} effects, and a task may have {EFFECTS_MAX}"),
    ],
)
def test_what_cannot_be_sent_is_a_dead_letter_that_says_what(value: Any, reason: str) -> None:
    ended = returned(value)
    assert isinstance(ended, Failed)
    assert ended.final
    assert ended.reason.startswith(UNSENDABLE + reason)


@pytest.mark.parametrize(
    "value",
    [
        {"much": "x" * RESULT_BYTES_MAX},
        [{"much": "x" * (RESULT_BYTES_MAX // 100)}] * 101,
        Result(value=b"x" * (RESULT_BYTES_MAX + 1)),
    ],
)
def test_a_result_that_is_too_large_says_so(value: Any) -> None:
    ended = returned(value)
    assert isinstance(ended, Failed)
    assert ended.final
    assert ended.reason.startswith("the result is too large")


@dataclass
class Pair:
    left: Any
    right: Any


def doubled(levels: int) -> Any:
    """A few small objects, each of which is twice in the next."""
    made: Any = "x"
    for _ in range(levels // 2):
        made = Pair([made, made], {"left": made, "right": {made if isinstance(made, str) else "y"}})
    return made


def padded_circle() -> dict[str, Any]:
    """What reaches the bound on size before it is nested too deeply."""
    made: dict[str, Any] = {"padding": "x" * 30_000}
    made["again"] = made
    return made


@pytest.mark.parametrize(
    "value",
    [
        padded_circle(),
        doubled(DEPTH_MAX - 10),
        [[{"a": 1}] * 1000, [padded_circle()]],
        {"raw": [msgspec.Raw(b'"' + b"x" * 1000 + b'"')] * 100_000},
        [{"bytes": [b"x" * 100_000] * 100_000}, {"a": 1}],
    ],
    ids=["circle", "doubled", "second effect", "raw", "bytes"],
)
def test_what_holds_the_same_over_and_over_is_refused_before_it_is_all_written(
    value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []

    class Watched:
        def encode(self, effect: Any) -> bytes:
            encoded = msgspec.json.encode(effect)
            written.append(len(encoded))
            return encoded

    monkeypatch.setattr(outcome, "_encoder", Watched())
    ended = returned(value)
    assert isinstance(ended, Failed)
    assert ended.final
    assert re.match("the result is too large: at least [0-9,]+ bytes, and there may be", ended.reason)
    assert sum(written) < RESULT_BYTES_MAX


@pytest.mark.parametrize(
    "value",
    [
        [1, 2.5, None, True, "é", {}, [], {"a": {1, 2}}, Pair(1, Pair("é", (1,)))],
        {1: "a", "": [[[]]], "b": b"bytes"},
        [msgspec.Raw(b"{}"), "plain"],
        {"": ""},
        [],
        "",
    ],
)
def test_nothing_is_counted_as_larger_than_it_is(value: Any) -> None:
    size = len(msgspec.json.encode(value))
    count(value, size, DEPTH_MAX)
    with pytest.raises(TooLargeError):
        count([value] * 100, size, DEPTH_MAX)


def test_the_largest_result_fits_into_its_message() -> None:
    names = "x" * 256
    ended = returned(Result((), b"x" * RESULT_BYTES_MAX))
    assert isinstance(ended, Done)
    result = TaskResult(
        task=names, key=names, job=names, lane="l" * 64, agent="a" * 64, status="ok", value=ended.value
    )
    assert decode(encode(result), TaskResult) == result
