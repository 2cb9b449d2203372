"""Ten thousand tasks to a sink that fails as sinks do, under `squall chaos`: each is there once."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.conftest import SQUALL
from tests.scenarios.test_effects_out import Sink, sink

from squall.chaos.plan.schedule import Interval, Schedule, toml
from squall.services.run.toml_writer import as_toml

__all__ = ["sink"]

pytestmark = [
    pytest.mark.nats,
    pytest.mark.toxiproxy,
    pytest.mark.slow,
    pytest.mark.everything,
    pytest.mark.timeout(1800),
]

BAD = 77
MORE_S = 40.0
"""How much longer the file would last than the load, which ends once all is healed."""

AWAY_S = 2.0
SINK_DIES = 4
"""How often, spread over the run."""


def schedule(lasts_s: float) -> Schedule:
    """Workers and the gateway die again and again."""
    deaths = [(share, "any-agent") for share in (0.05, 0.3, 0.55, 0.8)]
    deaths += [(share, "gateway") for share in (0.15, 0.4, 0.65, 0.9)]
    intervals = tuple(Interval(fault="crash", target=who, at_s=share * lasts_s) for share, who in deaths)
    return Schedule(seed=1, quiet_s=lasts_s, intervals=intervals)


def write(folder: Path, pattern: str, count: int, rate: float, url: str) -> None:
    """What `squall chaos` is told, and as many tasks as it may want."""
    lasts_s = count / rate
    shutil.copy(Path(__file__).parent / "handlers_of_effects.py", folder)
    with (folder / "tasks.jsonl").open("w") as file:
        for n in range(count + int(MORE_S * rate)):
            body = {"n": n, **({"bad": True} if n == BAD else {})}
            file.write(json.dumps({"id": f"t-{n}", "key": f"key {n % 20}", "body": body}) + "\n")
    fields = {
        "pattern": pattern,
        "tasks": "tasks.jsonl",
        "handler": "handlers_of_effects:decide",
        "effects": url,
        "effects_journal": url.replace("effects", "journal"),
        "rate_per_s": rate,
        "patience_s": 60.0,
        "ingress_max": 1000,
    }
    (folder / "swarm.toml").write_text(as_toml(fields))
    (folder / "schedule.toml").write_text(toml(schedule(lasts_s)))


def dies(sink: Sink, at: Callable[[], int], count: int, over: threading.Event) -> None:
    """Kill a sink whenever it has carried out so many more, and start it again."""
    for time_of in range(1, SINK_DIES + 1):
        while at() < time_of * count // (SINK_DIES + 1):
            if over.wait(0.2):
                return
        sink.kill()
        time.sleep(AWAY_S)
        sink.start()


@pytest.mark.parametrize(
    ("pattern", "count", "rate"),
    [
        ("hierarchical", 300, 25.0),
        ("hierarchical", 10_000, 30.0),
        ("star", 10_000, 30.0),
        ("mesh", 1000, 25.0),
        ("ring", 1000, 25.0),
    ],
)
def test_each_is_once_at_a_failing_sink_though_worker_gateway_and_sink_die(
    sink: Sink, tmp_path: Path, pattern: str, count: int, rate: float
) -> None:
    write(tmp_path, pattern, count, rate, sink.url)
    over = threading.Event()
    killer = threading.Thread(target=dies, args=(sink, lambda: filled(sink), count, over))
    killer.start()
    begun_s = time.monotonic()
    try:
        ended = subprocess.run(
            [
                SQUALL,
                "chaos",
                "swarm.toml",
                "--schedule",
                "schedule.toml",
                "--out",
                "out",
                "--quiet",
                "--json",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=1500,
            check=False,
        )
    finally:
        over.set()
        killer.join()
    took_s = time.monotonic() - begun_s
    (run,) = [path.parent for path in (tmp_path / "out").glob("*/spec.toml")]
    document = json.loads((run / "result.json").read_text())
    names = (
        "offered",
        "accepted",
        "refused",
        "effects",
        "lost",
        "duplicated",
        "conflicting",
        "refused_effects",
    )
    figures = {name: document[name] for name in names}
    figures |= {"took_s": round(took_s), "exit": ended.returncode}
    (tmp_path / "figures.json").write_text(json.dumps(figures))
    failed = [f"{each['id']}: {each['detail']}" for each in document["checks"] if each["verdict"] == "fail"]
    assert failed == [], ended.stderr
    history = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    accepted = {line["task"] for line in history if (line["op"], line["type"]) == ("submit", "ok")}
    assert len(accepted) == document["accepted"] >= count
    outcomes = Counter((row["order_id"].rsplit("-", 1)[0], row["outcome"]) for row in rows(sink))
    once = Counter(
        task for (task, outcome), times in outcomes.items() if outcome == "filled" for _ in range(times)
    )
    assert once == Counter(accepted - {f"t-{BAD}"})
    assert (f"t-{BAD}", "rejected") in outcomes
    (refused,) = [line for line in history if line["op"] == "refuse"]
    assert refused["reason"].startswith("it answered 400 Bad Request: it is bad")
    assert (document["lost"], document["duplicated"], document["refused_effects"]) == (0, 0, 1)
    struck = Counter((fault["kind"], fault["verified"]) for fault in document["faults"])
    assert struck == {("crash", True): len(schedule(1.0).intervals)}


def rows(sink: Sink) -> list[dict[str, Any]]:
    return sink.rows() if sink.journal.exists() else []


def filled(sink: Sink) -> int:
    text = sink.journal.read_bytes() if sink.journal.exists() else b""
    return text.count(b'"outcome": "filled"')
