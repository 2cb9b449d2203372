"""Between two tries there is a pause, and it has a bound."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import squall.bus
import squall.services.roles
from squall.bus import fenced
from squall.bus.backoff import Backoff
from squall.bus.errors import NotConnectedError, RejectedError, RequestTimeoutError

PAUSES = {
    f"{module.name}.{name}": value
    for package in (squall.bus, squall.services.roles)
    for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
    for name, value in vars(importlib.import_module(module.name)).items()
    if name.endswith("PAUSE_S") and isinstance(value, tuple)
}


def test_they_are_found() -> None:
    assert {"squall.bus.fenced.PAUSE_S", "squall.bus.log.PAUSE_S"} <= set(PAUSES)


@pytest.mark.parametrize("name", PAUSES)
def test_no_pause_is_negative_or_longer_than_its_cap(name: str) -> None:
    base_s, cap_s = PAUSES[name]
    assert 0 < base_s <= cap_s
    pauses = Backoff(base_s, cap_s)
    assert all(0 <= pauses.pause_s() <= cap_s for _ in range(100))


@pytest.mark.anyio
async def test_who_is_patient_asks_until_there_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fenced, "PAUSE_S", (0.001, 0.001))
    failures = [
        NotConnectedError("s", "away"),
        RequestTimeoutError("s", "late"),
        RejectedError("s", "no", 503),
    ]

    async def ask() -> str:
        if failures:
            raise failures.pop(0)
        return "an answer"

    assert await fenced.patiently(ask) == "an answer"
    assert not failures


def test_a_leaders_pauses_have_a_floor() -> None:
    assert min(fenced._pauses().pause_s() for _ in range(200)) >= fenced.PAUSE_S[0] / 2
