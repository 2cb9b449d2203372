"""What the answer to a batch means for each effect in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from squall.services.rules.batch_answers import outcomes
from squall.services.rules.sinks import Carried, Outcome, Parted, Refused, Unknown, Wait

KEYS = ["a", "b", "c"]


def told(*entries: tuple[str, int]) -> bytes:
    return json.dumps([{"key": key, "status": status} for key, status in entries]).encode()


def of(status: int, text: bytes | None = b"", keys: list[str] = KEYS) -> list[Outcome]:
    return [*outcomes(keys, status, None, "it answered so", text)]


@pytest.mark.parametrize("text", [b"", b"OK", b'{"stored": 3}', b"null"])
@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_success_without_a_list_is_one_of_each(status: int, text: bytes) -> None:
    assert of(status, text) == [Carried()] * 3


def test_each_is_told_of_by_its_own_status() -> None:
    text = b'[{"key":"c","status":422,"reason":"no\\u001bsuch"},{"key":"a"},{"key":"b","status":409}]'
    assert of(207, text) == [Carried(), Carried(before=True), Refused("it told of it 422: no\\x1bsuch")]


@pytest.mark.parametrize(
    ("text", "means"),
    [
        (told(("a", 200), ("b", 200)), [Carried(), Carried(), Unknown("its answer does not tell of it")]),
        (told(("x", 200)), [Unknown("its answer does not tell of it")] * 3),
        (b"[]", [Unknown("its answer does not tell of it")] * 3),
        (
            told(("a", 200), ("a", 400), ("b", 201), ("c", 201)),
            [Unknown("it told two things of it"), Carried(), Carried()],
        ),
        (told(("a", 200), ("a", 200), ("b", 201), ("c", 201)), [Carried()] * 3),
        (
            told(("a", 500), ("b", 425), ("c", 429)),
            [Unknown("it told of it 500"), Unknown("it told of it 425"), Wait(1.0, "it told of it 429")],
        ),
        (None, [Unknown("its answer is too long to be read")] * 3),
    ],
)
def test_what_is_not_told_or_told_twice_is_not_known(text: bytes | None, means: list[Outcome]) -> None:
    assert of(200, text) == means


@pytest.mark.parametrize("text", [b"[", b'[{"key": 1}]', b'[{"status": 200}]', b"[" * 100_000, b'["a"]'])
def test_a_list_that_cannot_be_read_tells_of_none(text: bytes) -> None:
    found: list[Any] = of(200, text)
    assert [type(each) for each in found] == [Unknown] * 3


@pytest.mark.parametrize("status", [400, 404, 409, 208, 413, 302])
def test_a_refusal_of_several_parts_them_and_of_one_is_its_own(status: int) -> None:
    assert of(status) == [Parted("it answered so")] * 3
    (alone,) = of(status, keys=["a"])
    assert isinstance(alone, Carried if status in (208, 409) else Refused)


@pytest.mark.parametrize(("status", "means"), [(500, Unknown), (408, Unknown), (429, Wait)])
def test_what_is_said_of_all_is_said_of_each(status: int, means: type[Outcome]) -> None:
    assert [type(each) for each in of(status)] == [means] * 3
