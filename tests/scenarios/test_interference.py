"""Somebody meddles with the harness: it is noticed, the run goes on, and no verdict is given on it."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from squall.bus.tasks import wait_until
from squall.chaos.cli.setup import experiment_of
from squall.chaos.inject import nemesis as nemesis_module
from squall.chaos.inject.experiment import experiment
from squall.chaos.inject.nemesis import Nemesis
from squall.chaos.inject.toxiproxy import server
from squall.chaos.tell.documents import history_of, judge
from squall.services.cli.asked import resolve
from squall.services.run.directory import claim

pytestmark = [pytest.mark.nats, pytest.mark.toxiproxy, pytest.mark.slow]

LIAR = f"{Path(__file__).parent / 'forging_handler.py'}:decide"
EVIL = "a proxy evil of somebody else's"


def ask(url: str, method: str, path: str, body: Any = None) -> None:
    """What anybody on this machine can ask who has found the address."""
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url + path, data, {"User-Agent": "curl/8"}, method=method)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(asked, timeout=5).read()


@pytest.mark.everything
def test_what_others_do_to_its_proxies_and_say_of_points_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = resolve("hierarchical", **{**experiment_of("hierarchical"), "rate_per_s": 60.0, "handler": LIAR})
    path = tmp_path / "run"

    async def noticed() -> bool:
        return EVIL in (path / "history.jsonl").read_text()

    async def attack(nemesis: Nemesis) -> None:
        url = nemesis._network._proxies._api._url
        assert not url.startswith(f"http://{server.HOST}:"), "its address can be guessed"
        way = nemesis._network.way("agent-1")
        async with nemesis.strike("bandwidth", "agent-1") as strike:
            assert strike.verified
            await asyncio.to_thread(ask, url, "DELETE", f"/proxies/{way.name}/toxics/bandwidth_downstream")
        evil = {"name": "evil", "listen": "127.0.0.1:0", "upstream": way.upstream, "enabled": True}
        await asyncio.to_thread(ask, url, "POST", "/proxies", evil)
        async with nemesis.strike("latency", "gateway") as strike:
            assert strike.verified
        await wait_until(noticed, bool, timeout_s=10, what="its being noticed")
        await asyncio.to_thread(ask, url, "DELETE", "/proxies/evil")
        monkeypatch.setattr(nemesis_module, "PATIENCE", nemesis_module.Patience(point_s=3.0))
        with pytest.raises(TimeoutError):  # it is said to have come there, and never has
            async with nemesis.strike("crash", "any-agent", point="agent.committed", nth=100_000):
                raise AssertionError("a halt that was only said to be is believed")
        monkeypatch.undo()
        async with nemesis.strike("pause", "any-agent", point="agent.delivered") as strike:
            assert strike.verified, "a real halt is not seen for the lies"

    with claim(spec, path) as directory:
        asyncio.run(experiment(spec, directory, attack, progress=lambda text: None))
    faults = {fault.kind: fault for fault in history_of(path).faults}
    assert {kind: fault.verified for kind, fault in faults.items()} == {
        "bandwidth": False,
        "latency": True,
        "pause": True,
    }
    assert "somebody removed bandwidth_downstream" in faults["bandwidth"].reason
    said = history_of(path).interfered
    assert any("DELETE" in what and "bandwidth_downstream" in what for what in said), said
    assert any("POST /proxies" in what for what in said), said
    assert any(EVIL in what for what in said), said
    assert "pass" not in {check.verdict for check in judge(path).checks}
