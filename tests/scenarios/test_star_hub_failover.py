"""All hubs are lost, and one is killed again and again: who hears them notices, and one follows in time.

That each promise holds meanwhile is in test_series.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.scenarios.series_once import Series

from squall.chaos.judge.checks.hub_log import Decided, Requested
from squall.chaos.judge.checks.hub_loss import Degraded

BENCH = Path(__file__).parents[2] / "chaos" / "bench" / "hub_failover.py"

WITHOUT_HUBS = "no-hub"
"""The run of the series in which all hubs stand still."""


@pytest.mark.series("star")
def test_everybody_who_hears_a_hub_was_degraded_and_is_not_any_more(series: Series) -> None:
    history = series.history(series.path / WITHOUT_HUBS)
    listening = {node.node for node in history.nodes if node.role in ("agent", "gateway")}
    for what in ("begin", "end"):
        assert {line.node for line in history.of(Degraded) if line.what == what} == listening


@pytest.mark.series("star")
def test_what_was_asked_for_without_a_hub_was_decided_as_a_reduction(series: Series) -> None:
    history = series.history(series.path / WITHOUT_HUBS)
    asked = {request.seq for request in history.of(Requested) if request.reduce_only}
    decided = [made for made in history.of(Decided) if made.request in asked]
    assert asked
    assert len(decided) == len(asked)
    assert all(made.reduces for made in decided)


@pytest.mark.nats
@pytest.mark.toxiproxy
@pytest.mark.slow
@pytest.mark.everything
@pytest.mark.timeout(600)
def test_twenty_kills_are_followed_within_the_bound() -> None:
    ended = subprocess.run(
        [sys.executable, BENCH, "--kills", "20", "--json"], capture_output=True, check=True, timeout=580
    )
    found = json.loads(ended.stdout)
    assert found["verified"] == found["kills"] == 20
    assert found["timed"] >= 18
    assert found["p99_s"] <= found["bound_s"]
    assert (found["lost"], found["duplicated"], found["failed"]) == (0, 0, [])
