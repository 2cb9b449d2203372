"""The model of the broker does what nats-server does: the same random operations on both, and no difference.

python -m tests.model.sequences 2000    as many sequences as one likes, with figures
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.model import sequences
from tests.model.operations import Operation
from tests.model.operations import sequences as sequence
from tests.model.together import differences, differences_over_restarts, own_server
from tests.model.wire import Server

pytestmark = [pytest.mark.nats, pytest.mark.xdist_group("model")]

AT_A_TIME = 16

unhurried = settings(
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
    report_multiple_bugs=False,
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def running(loop: asyncio.Runner) -> Iterator[Server]:
    context = own_server()
    running = loop.run(context.__aenter__())
    yield running
    loop.run(context.__aexit__(None, None, None))


def test_no_operation_tells_the_model_from_the_server(loop: asyncio.Runner, running: Server) -> None:
    done = 0

    @settings(unhurried, max_examples=3)
    @given(st.tuples(*[sequence(40)] * AT_A_TIME))
    def agree(operations: tuple[list[Operation], ...]) -> None:
        nonlocal done
        found = loop.run(differences(running, operations))
        done += len(operations)
        assert not found, found[0]

    agree()
    print(f"{done} sequences, {40 * done} operations, 0 differences")  # noqa: T201


def test_nor_does_a_restart(loop: asyncio.Runner, running: Server) -> None:
    @settings(unhurried, max_examples=1)
    @given(st.tuples(*[st.tuples(sequence(14), sequence(14))] * AT_A_TIME))
    def agree(operations: tuple[tuple[list[Operation], ...], ...]) -> None:
        found = loop.run(differences_over_restarts(running, operations))
        assert not found, found[0]

    agree()


@pytest.mark.everything
@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_thousand_sequences_do_not() -> None:
    figures = asyncio.run(sequences.compare(2000))
    print(figures)  # noqa: T201
    assert not figures.differences, figures.differences[0]
