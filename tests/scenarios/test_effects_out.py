"""Effects out to sinks that fail as sinks do: each is carried out once, whoever is killed meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.brokers import outside
from tests.scenarios.quick import QUICK

from squall.bus.connection import connect
from squall.bus.jetstream import call
from squall.services.effects import nats
from squall.services.effects.port import Sending
from squall.services.roles.gateway import HELD_EACH

pytestmark = [pytest.mark.nats, pytest.mark.slow]

TASKS = 300
BAD = 77


class Sink:
    """The failing sink, as a process of its own."""

    def __init__(self, journal: Path) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            self.port = held.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/effects"
        self.journal = journal
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = "squall.chaos.mutants.failing_sink"
        self._process = subprocess.Popen([sys.executable, "-m", program, str(self.port), str(self.journal)])

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal.read_text().splitlines()]

    def outcomes(self, outcome: str) -> Counter[str]:
        return Counter(row["order_id"] for row in self.rows() if row["outcome"] == outcome)


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    sink = Sink(tmp_path / "sink.jsonl")
    sink.start()
    yield sink
    sink.kill()


def fields(tmp_path: Path, pattern: str, **more: Any) -> dict[str, Any]:
    """Of a run of own tasks; the handler stands where its command is started."""
    folder = tmp_path / "0"
    folder.mkdir(exist_ok=True)
    shutil.copy(Path(__file__).parent / "handlers_of_effects.py", folder)
    tasks = [
        {"id": f"t-{n}", "key": f"key {n % 20}", "body": {"n": n, **({"bad": True} if n == BAD else {})}}
        for n in range(TASKS)
    ]
    (tmp_path / "tasks.jsonl").write_text("\n".join(json.dumps(task) for task in tasks))
    fields = {
        **QUICK,
        "pattern": pattern,
        "agents": 3,
        "tasks": str(tmp_path / "tasks.jsonl"),
        "handler": "handlers_of_effects:decide",
        "rate_per_s": 60.0,
        "attempts": 5,
        **more,
    }
    if pattern != QUICK["pattern"]:
        del fields["coordinators"]
    if pattern == "mesh":
        del fields["pause_leader"]
    return fields


def numbered(file: Path, count: int) -> Path:
    """So many tasks of which nothing is bad."""
    tasks = [{"id": f"t-{n}", "key": f"key {n % 20}", "body": {"n": n}} for n in range(count)]
    file.write_text("\n".join(json.dumps(task) for task in tasks))
    return file


GOOD = Counter(f"t-{n}-0" for n in range(TASKS) if n != BAD)


def counted(document: dict[str, Any]) -> dict[str, Any]:
    names = ("accepted", "effects", "lost", "duplicated", "dead_letters", "refused_effects")
    return {name: document[name] for name in names}


ALL_DONE = {
    "accepted": TASKS,
    "effects": TASKS - 1,
    "lost": 0,
    "duplicated": 0,
    "dead_letters": 0,
    "refused_effects": 1,
}


def failed(document: dict[str, Any]) -> list[str]:
    """Checks that fail, but for U1: that a node was killed here, nothing of the harness has on record."""
    checks = [check for check in document["checks"] if check["id"] != "U1"]
    return [f"{check['id']}: {check['detail']}" for check in checks if check["verdict"] == "fail"]


def more_than(run: Any, count: int) -> None:
    run.wait_for(lambda: len(run.lines("commit")) > count, f"{count} results")


@pytest.mark.parametrize(
    ("pattern", "batch"),
    [
        ("hierarchical", 1),
        *(pytest.param(name, 1, marks=pytest.mark.everything) for name in ("star", "mesh")),
        pytest.param("hierarchical", 8, marks=pytest.mark.everything),
    ],
)
def test_a_failing_service_has_each_once_though_worker_gateway_and_itself_are_killed(
    squall_run: Any, sink: Sink, tmp_path: Path, pattern: str, batch: int
) -> None:
    journal = sink.url.replace("effects", "journal")
    run = squall_run(
        fields(tmp_path, pattern, effects=sink.url, effects_journal=journal, effects_batch=batch)
    )
    more_than(run, 40)
    run.signal("agent-1", signal.SIGKILL)
    more_than(run, 100)
    run.signal("gateway", signal.SIGKILL)
    more_than(run, 160)
    sink.kill()
    time.sleep(1.0)  # it is away for so long
    sink.start()
    document = run.end(120)
    assert sink.outcomes("filled") == GOOD
    assert counted(document) == ALL_DONE
    assert failed(document) == []
    assert f"t-{BAD}-0" in sink.outcomes("rejected")
    refused = {line["order_id"]: line for line in run.lines("refuse")}
    assert [*refused] == [f"t-{BAD}-0"]
    said = "it answered 400 Bad Request: it is bad" if batch == 1 else "it told of it 400"
    assert refused[f"t-{BAD}-0"]["reason"].startswith(said)
    assert "venue" not in run.nodes()
    asked = Counter(row["order_id"] for row in sink.rows())
    assert max(asked.values()) <= 8  # what failed is asked again, and not for ever


def test_without_a_journal_it_is_unknown_what_became_of_effects_and_nothing_else_is(
    squall_run: Any, sink: Sink, tmp_path: Path
) -> None:
    run = squall_run(fields(tmp_path, "hierarchical", effects=sink.url), "--tasks", "60")
    document = run.end(120)
    assert (document["effects"], document["lost"], document["duplicated"]) == (None, None, None)
    assert any("keeps no journal" in limit for limit in document["limits"])
    verdicts = {check["id"]: check["verdict"] for check in document["checks"]}
    assert (verdicts["H1"], verdicts["H2"], verdicts["U1"], verdicts["W1"]) == (
        *("unknown", "unknown"),
        *("pass", "pass"),
    )
    assert all(
        "which keeps no journal" in check["detail"]
        for check in document["checks"]
        if check["id"] in ("H1", "H2")
    )
    assert run.process.returncode == 3
    assert sum(sink.outcomes("filled").values()) == 60


def test_a_function_of_ones_own_has_each_once(squall_run: Any, tmp_path: Path) -> None:
    run = squall_run(
        fields(
            tmp_path,
            "hierarchical",
            effects="handlers_of_effects:send",
            effects_journal="sent.jsonl",
            effects_together=1,
        )
    )
    more_than(run, 60)
    run.signal("gateway", signal.SIGKILL)
    document = run.end(120)
    assert counted(document) == ALL_DONE
    assert failed(document) == []
    sent = [json.loads(line) for line in (tmp_path / "0/sent.jsonl").read_text().splitlines()]
    assert Counter(row["order_id"] for row in sent if row["outcome"] == "filled") == GOOD


def test_where_effects_go_nowhere_results_are_all_there_is(squall_run: Any, tmp_path: Path) -> None:
    run = squall_run(
        fields(tmp_path, "hierarchical", effects="none"), "--tasks", "60", "--results", "results.jsonl"
    )
    document = run.end(120)
    assert (document["effects"], document["lost"], document["duplicated"]) == (0, 0, 0)
    assert failed(document) == []
    assert run.process.returncode == 0
    results = [json.loads(line) for line in (tmp_path / "0/results.jsonl").read_text().splitlines()]
    assert sorted(line["effects"][0]["n"] for line in results) == [*range(60)]


def test_a_slow_sink_presses_back_on_who_offers_tasks(squall_run: Any, tmp_path: Path) -> None:
    rate, slots, agents, beat_s = 100.0, 4, 3, 1.0
    spec = fields(
        tmp_path,
        "hierarchical",
        handler="handlers_of_effects:decide",
        effects="handlers_of_effects:send_slowly",
        effects_together=1,
        rate_per_s=rate,
        slots=slots,
        ingress_max=40,
        patience_s=0.5,
    )
    spec["tasks"] = str(numbered(tmp_path / "many.jsonl", 600))
    document = squall_run(spec).end(200)
    run = tmp_path / "0/run/history.jsonl"
    ahead = most = 0
    for line in map(json.loads, run.read_text().splitlines()):
        ahead += (line["op"], line["type"]) == ("commit", "ok")
        ahead -= (line["op"], line["type"]) == ("deliver", "ok")
        most = max(most, ahead)
    # It holds so many, and until that is heard of as many more come as there are, and then those under way.
    assert most <= HELD_EACH + 2 * beat_s * rate + 4 * agents * slots
    assert document["refused"] > 100  # without, all that is offered within six seconds is accepted
    assert document["refused"] + document["accepted"] == document["offered"] == 600
    assert failed(document) == []


@pytest.mark.anyio
async def test_a_stream_has_each_once_though_gateway_and_its_server_are_killed(
    squall_run: Any, tmp_path: Path
) -> None:
    store = json.dumps(str(tmp_path / "store"))
    async with outside(tmp_path / "broker", f"jetstream {{ store_dir: {store} }}") as broker:
        async with connect(broker.url, "maker") as maker:
            config = {"name": "ORDERS", "subjects": ["orders.>"], "storage": "file"}
            await call(maker, "STREAM", "CREATE", "ORDERS", request=config)
        run = squall_run(
            fields(
                tmp_path,
                "hierarchical",
                effects="nats:orders.new",
                effects_server=broker.url,
                effects_journal="stream",
            )
        )
        await asyncio.to_thread(more_than, run, 60)
        run.signal("gateway", signal.SIGKILL)
        await asyncio.to_thread(more_than, run, 140)
        broker.signal(signal.SIGKILL)
        document = await asyncio.to_thread(run.end, 120)
        sending = Sending(
            name="nats:orders.new",
            headers={},
            server=broker.url,
            credentials="",
            journal="stream",
            together=1,
        )
        async with contextlib.aclosing(nats.stored(sending)) as stored:  # type: ignore[type-var]
            keys = Counter([key async for key, _, _ in stored])
    assert keys == GOOD + Counter([f"t-{BAD}-0"])  # a stream takes whatever comes
    assert counted(document) == {**ALL_DONE, "effects": TASKS, "refused_effects": 0}
    assert failed(document) == []


@pytest.mark.parametrize(
    ("effects", "says"),
    [
        ("https://me:secret@orders.example/x", "credentials do not belong in a URL"),
        ("no_such_module:send", "cannot be imported"),
        ("nats:orders.new", "it is not said where the broker"),
    ],
)
def test_what_cannot_work_is_one_sentence_and_nothing_is_started(
    squall_run: Any, tmp_path: Path, effects: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NATS_URL", raising=False)
    run = squall_run({**fields(tmp_path, "hierarchical"), "effects": effects})
    error = run.end(60)["error"]
    assert run.process.returncode == 2
    assert says in error["message"]
    assert "secret" not in json.dumps(error)
    assert run.nodes() == {}
