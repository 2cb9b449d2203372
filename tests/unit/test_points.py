"""A node halts where it was told to, once, and keeps back nothing that it has sent."""

from __future__ import annotations

import os
import signal

import pytest

from squall.services.node.points import Points

pytestmark = pytest.mark.anyio


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened, in its order; nobody is stopped."""
    found: list[str] = []

    def stop(pid: int, number: int) -> None:
        assert (pid, number) == (os.getpid(), signal.SIGSTOP)
        found.append("stopped")

    monkeypatch.setattr(os, "kill", stop)
    return found


def points(told: list[str]) -> Points:
    async def let_go() -> None:
        told.append("let go")

    return Points(told.append, let_go)


async def test_who_is_to_halt_lets_go_says_so_and_stops(told: list[str]) -> None:
    at = points(told)
    at.halt("agent.executed", 2)
    for point in ("agent.executed", "agent.delivered"):
        await at(point)
    assert told == []
    await at("agent.executed")
    assert told == ["let go", "agent.executed", "stopped"]
    await at("agent.executed")
    assert told[3:] == []


async def test_who_is_told_to_halt_nowhere_passes(told: list[str]) -> None:
    at = points(told)
    at.halt("agent.executed", 1)
    at.halt("agent.executed", 0)
    await at("agent.executed")
    assert told == []
