"""A node halts where it was told to, once, and keeps back nothing that it has sent."""

from __future__ import annotations

import asyncio
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


async def test_who_is_to_halt_once_it_has_asked_takes_the_answer_afterwards(told: list[str]) -> None:
    answer = asyncio.get_running_loop().create_future()

    async def ask() -> str:
        told.append("asked")
        got: str = await answer
        return f"{got}, heard"

    def stop(pid: int, number: int) -> None:
        told.append("stopped")
        answer.set_result("stored")

    at = points(told)
    at.halt("agent.asked", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "kill", stop)
        assert await at.asked("agent.asked", ask()) == "stored, heard"
    assert told == ["asked", "let go", "agent.asked", "stopped"]


async def test_what_is_answered_at_once_was_not_asked(told: list[str]) -> None:
    async def ask() -> bool:
        return False

    at = points(told)
    at.halt("agent.asked", 1)
    assert await at.asked("agent.asked", ask()) is False
    assert told == []


async def test_who_gives_up_asking_leaves_nothing_behind(told: list[str]) -> None:
    at = points(told)
    at.halt("agent.asked", 1)
    asking = asyncio.ensure_future(at.asked("agent.asked", asyncio.sleep(60)))
    await asyncio.sleep(0)
    before = len(asyncio.all_tasks())
    asking.cancel()
    await asyncio.wait({asking})
    assert asking.cancelled()
    assert len(asyncio.all_tasks()) == before - 2
