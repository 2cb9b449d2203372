"""One arena for the attacks of a file; a new one once it is out of order: one defect fails one test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.attacks.arena import GOES_ON_S, Arena


class Arenas:
    """Keeps an arena until it is spent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        self._arena: Arena | None = None

    def take(self) -> Arena:
        if self._arena is None or not self._arena.alive:
            self.spend()
            self._count += 1
            self._arena = Arena(self._folder / f"{self._count}")
            self._arena.start()
            self._arena.recovers(GOES_ON_S)
        return self._arena

    def spend(self) -> None:
        if self._arena is not None:
            self._arena.end()
            self._arena = None


@pytest.fixture(scope="module")
def arenas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arenas]:
    """No longer than a file: a swarm at work slows down all tests that come after it."""
    kept = Arenas(tmp_path_factory.mktemp("arenas"))
    yield kept
    kept.spend()


@pytest.fixture
def arena(arenas: Arenas, request: pytest.FixtureRequest) -> Iterator[Arena]:
    """A swarm at work, with a hijacked agent; see `Arena`."""
    failed_before = request.session.testsfailed
    taken = arenas.take()
    yield taken
    if request.session.testsfailed != failed_before or len(taken.agents()) < taken.spec.agents:
        arenas.spend()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.nats)
            if "arena" in item.fixturenames:
                item.add_marker(pytest.mark.slow)
                item.add_marker(pytest.mark.xdist_group("arena"))
