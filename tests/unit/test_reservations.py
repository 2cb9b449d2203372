"""One fault a node at a time, first come first served, and never a deadlock."""

from __future__ import annotations

import asyncio
import random

import pytest

from squall.chaos.inject.reservations import Reservations

pytestmark = pytest.mark.anyio


async def test_nobody_shares_a_node_and_everybody_has_a_turn() -> None:
    reservations = Reservations()
    taken: set[str] = set()
    turns = 0
    chance = random.Random(1)

    async def strike(nodes: set[str]) -> None:
        nonlocal turns
        async with reservations.take(nodes, timeout_s=10):
            assert not taken & nodes
            taken.update(nodes)
            await asyncio.sleep(chance.random() / 1000)
            taken.difference_update(nodes)
            turns += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(200):
            nodes = set(chance.sample("abcdef", chance.randint(1, 6)))
            tasks.create_task(strike(nodes))
    assert turns == 200


async def test_who_waits_for_all_is_not_overtaken() -> None:
    reservations = Reservations()
    order: list[str] = []

    async def strike(name: str, nodes: str) -> None:
        async with reservations.take(nodes, timeout_s=10):
            order.append(name)

    async with asyncio.TaskGroup() as tasks, reservations.take("a", timeout_s=1):
        for name, nodes in (("all", "abc"), ("late", "b"), ("other", "d")):
            tasks.create_task(strike(name, nodes))
            await asyncio.sleep(0.01)
        assert order == ["other"]
    assert order == ["other", "all", "late"]


async def test_who_gives_up_waiting_is_in_nobodys_way() -> None:
    reservations = Reservations()
    async with reservations.take("a", timeout_s=1):
        with pytest.raises(TimeoutError):
            async with reservations.take("ab", timeout_s=0.01):
                raise AssertionError
        async with reservations.take("b", timeout_s=1):
            pass
