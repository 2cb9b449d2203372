"""How long a publish of unknown outcome is tried: in all, and each time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from squall.bus import jetstream
from squall.bus.jetstream import RETRY_PAUSE_S, Outcome, publish

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(("timeout_s", "try_s"), [(0.3, 2.0), (0.3, 0.1)])
async def test_each_try_is_given_what_is_left_and_no_more_than_a_try(
    monkeypatch: pytest.MonkeyPatch, timeout_s: float, try_s: float
) -> None:
    loop = asyncio.get_running_loop()
    begun_s = loop.time()
    given: list[tuple[float, float]] = []

    async def unanswered(*asked: Any, timeout_s: float, **how: Any) -> Outcome:
        given.append((loop.time() - begun_s, timeout_s))
        await asyncio.sleep(timeout_s)
        return Outcome("unknown")

    monkeypatch.setattr(jetstream, "publish_once", unanswered)
    outcome = await publish(None, "s", b"x", timeout_s=timeout_s, try_s=try_s)  # type: ignore[arg-type]
    assert outcome.kind == "unknown"
    for at_s, took_s in given:
        assert took_s <= min(try_s, max(RETRY_PAUSE_S[0], timeout_s - at_s) + 1e-6)
