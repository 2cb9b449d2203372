"""One bad agent stops nobody: it is noticed, put out, and has no way back. One swarm, all attacks in turn."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from squall.bus.connection import connect
from squall.bus.errors import AuthorizationError, BusError
from squall.bus.identity import Credentials

pytestmark = [pytest.mark.nats, pytest.mark.slow, pytest.mark.timeout(300)]

RATE_PER_S = 50
SPEC = {
    "pattern": "hierarchical",
    "tasks": 12000,
    "rate_per_s": RATE_PER_S,
    "agents": 7,
    "slots": 4,
    "ack_wait_s": 2.0,
    "pause_leader": False,
    "handler": f"{Path(__file__).parent / 'hijacked.py'}:decide",
}
ATTACKS = {
    "hold": "slots",
    "put-off": "longer than any pause",
    "silent": "does not answer",
    "flood": "far more than its work explains",
    "fill": "registers of tasks that there are not",
}
HARMLESS = "nak"
"""What it gives back goes to the others in turn, who do it: they lose nothing while it is not put out."""

HARMLESS_S = 4.0

REFUSED_S = 1.0
"""After how long what a killed agent had must be refused."""

BACK_S = (5.0, 8.0)
"""When after an expulsion the rest is looked at."""


def loot(folder: Path, agent: str) -> dict[str, str]:
    """The newest that was taken from an agent."""
    files = sorted(folder.glob(f"loot-{agent}-*"), key=lambda path: path.stat().st_mtime)
    return json.loads(files[-1].read_text()) if files else {}


def refused(taken: dict[str, str]) -> bool:
    credentials = Credentials(
        name=taken["name"], jwt=taken["jwt"], seed=taken["seed"], inbox=f"_INBOX.{taken['name']}.evil"
    )

    async def knock() -> bool:
        try:
            async with connect(taken["url"], taken["name"], credentials):
                return False
        except AuthorizationError:
            return True
        except BusError:
            return False  # nothing was learnt

    with start_blocking_portal() as portal:
        return portal.call(knock)


def commits(run: Any, begin_s: float, end_s: float) -> int:
    return sum(line["type"] == "ok" and begin_s <= line["time_s"] < end_s for line in run.lines("commit"))


@pytest.mark.everything
def test_whatever_a_bad_agent_does_to_the_pool_it_is_put_out_and_the_others_go_on(
    squall_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hijack"
    folder.mkdir()
    monkeypatch.setenv("HIJACK_DIR", str(folder))
    run = squall_run(SPEC)
    run.wait_for(lambda: all(loot(folder, f"agent-{n}") for n in range(1, 8)), "loot from every agent")

    # What a killed agent had is refused within a second, and its next start works.
    taken = loot(folder, "agent-7")
    assert not refused(taken)
    starts = run.nodes()["agent-7"]["incarnation"]
    os.kill(run.nodes()["agent-7"]["pid"], signal.SIGKILL)
    killed_s = time.monotonic()
    time.sleep(killed_s + REFUSED_S - time.monotonic())
    assert refused(taken)
    run.wait_for(lambda: run.nodes()["agent-7"]["incarnation"] > starts, "the next start")
    run.wait_for(lambda: loot(folder, "agent-7").get("jwt") != taken["jwt"], "work of the next start")
    assert not refused(loot(folder, "agent-7"))
    assert refused(taken)

    for number, (attack, reason) in enumerate(ATTACKS.items(), 1):
        agent = f"agent-{number}"
        (folder / f".{agent}").write_text(attack)
        (folder / f".{agent}").rename(folder / agent)
        run.wait_for(lambda n=number: len(run.lines("expel")) >= n, f"the end of {attack}", 60)
        out = run.lines("expel")[-1]
        assert (out["agent"], reason in out["reason"]) == (agent, True), out
        begin_s, end_s = (out["time_s"] + after_s for after_s in BACK_S)
        run.wait_for(lambda end=end_s: time.time() > end, "what the others do")
        assert commits(run, begin_s, end_s) >= 0.9 * RATE_PER_S * (end_s - begin_s), attack
        assert refused(loot(folder, agent))

    begin_s = time.time()
    (folder / ".agent-6").write_text(HARMLESS)
    (folder / ".agent-6").rename(folder / "agent-6")
    end_s = begin_s + 1.0 + HARMLESS_S
    run.wait_for(lambda: time.time() > end_s, "what the others do")
    assert commits(run, begin_s + 1.0, end_s) >= 0.9 * RATE_PER_S * HARMLESS_S

    run.process.send_signal(signal.SIGINT)
    document = run.end()
    put_out = [line["agent"] for line in run.lines("expel")]
    assert put_out in [[f"agent-{n}" for n in range(1, last + 1)] for last in (5, 6)]
    assert {run.nodes()[name]["incarnation"] for name in put_out} == {1}
    assert (document["lost"], document["duplicated"]) == (0, 0)


def test_a_swarm_whose_last_agent_is_put_out_ends_and_says_why(
    squall_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "hijack"
    folder.mkdir()
    monkeypatch.setenv("HIJACK_DIR", str(folder))
    (folder / "agent-1").write_text("put-off")
    run = squall_run({**SPEC, "agents": 1, "retry_base_s": 0.1, "retry_cap_s": 0.5})
    document = run.end(60)
    assert run.process.returncode == 4
    assert document["error"]["kind"] == "launch"
    message = document["error"]["message"]
    assert "every agent was put out" in message
    assert "agent-1: it puts tasks off" in message
