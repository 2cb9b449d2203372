"""Votes are signed: one signature is worth one verdict on one proposal of one swarm."""

from __future__ import annotations

from typing import Any

import pytest

from squall.bus.signing import new_key, statement, verify

FACTS: dict[str, Any] = {"epoch": 1, "proposal": 7, "task": "t", "attempt": 1, "verdict": "yes"}


@pytest.mark.parametrize(
    "other",
    [{"epoch": 2}, {"proposal": 8}, {"task": "u"}, {"attempt": 2}, {"verdict": "no"}, {"swarm": "other"}],
    ids=str,
)
def test_a_signature_is_of_nothing_but_what_was_signed(other: dict[str, Any]) -> None:
    key = new_key()
    signature = key.sign(statement("s", **FACTS))
    assert verify(key.public, statement("s", **FACTS), signature)
    facts = {"swarm": "s", **FACTS, **other}
    assert not verify(key.public, statement(facts.pop("swarm"), **facts), signature)
    assert not verify(new_key().public, statement("s", **FACTS), signature)


@pytest.mark.parametrize("signature", [b"", b"x" * 64, b"x" * 63])
def test_what_is_no_signature_signs_nothing(signature: bytes) -> None:
    assert not verify(new_key().public, b"", signature)
    assert not verify("not a key", b"", signature)


def test_a_key_shows_nothing_secret() -> None:
    key = new_key()
    assert key.seed not in f"{key!r} {key} {key.__rich_repr__()}"
