"""Tasks from a stream of the user's: whoever is killed where it answers, none is lost, none runs twice."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.brokers import outside
from tests.scenarios.conftest import SQUALL
from tests.scenarios.quick import QUICK

from squall.bus.broker import Broker
from squall.bus.connection import Connection, connect
from squall.bus.jetstream import call
from squall.bus.tasks import wait_until
from squall.chaos.mutants import acknowledges_first
from squall.services.intake.arrivals import begin
from squall.services.node.service import Halt, Order
from squall.services.patterns.hierarchical import HierarchicalSpec
from squall.services.roles.taking import ACCEPTED
from squall.services.run.directory import RunDirectory, claim
from squall.services.run.driven import driven
from squall.services.run.result import judge
from squall.services.run.results import Results
from squall.services.run.spec import Spec

pytestmark = [pytest.mark.nats, pytest.mark.anyio]

HANDLER = Path(__file__).parent / "handlers_of_own_tasks.py"
SUBJECT = "orders.new"
COUNT = 40
NTH = 15
"""Which passing of a point the producer is killed at."""


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    store = json.dumps(str(tmp_path / "store"))
    async with outside(tmp_path / "users", f"jetstream {{ store_dir: {store} }}") as broker:
        yield broker


async def publish(user: Connection, count: int, first: int = 0) -> None:
    for n in range(first, first + count):
        record = {"id": f"t-{n}", "key": f"k {n % 7}", "body": {"n": 3 * n}}
        await user.request(SUBJECT, json.dumps(record).encode(), timeout_s=5)


async def make_stream(user: Connection) -> None:
    config = {"name": "ORDERS", "subjects": ["orders.>"], "storage": "file"}
    await call(user, "STREAM", "CREATE", "ORDERS", request=config)


async def left_at_source(user: Connection) -> tuple[int, int]:
    """Messages that are not acknowledged, and that were not delivered yet."""
    (found,) = (await call(user, "CONSUMER", "LIST", "ORDERS", request={}))["consumers"]
    return found["num_ack_pending"], found["num_pending"]


def ids(results: Path) -> Counter[str]:
    return Counter(json.loads(line)["id"] for line in results.read_text().splitlines())


async def killed_at(
    point: str, nth: int, spec: Spec, directory: RunDirectory, user: Connection, preload: str, out: Results
) -> None:
    """A run of `COUNT` tasks, whose producer is killed at the nth passing of a point."""
    async with driven(spec, directory, progress=lambda text: None, preload=preload, results=out) as run:
        swarm = run.swarm
        first = swarm.units["producer"]
        await swarm.launcher.tell(first, Order(halt=Halt(point=point, nth=nth)))
        await publish(user, nth)
        async with asyncio.timeout(20):
            assert await swarm.launcher.halted(first) == point
        await swarm.launcher.kill(first)

        async def again() -> object:
            return swarm.units.get("producer")

        await wait_until(
            again, lambda unit: unit not in (None, first), timeout_s=20, what="the next producer"
        )
        await publish(user, COUNT - nth, nth)  # not before: what is on its way to the dead comes late
        async with asyncio.timeout(40):
            await swarm.producer


@pytest.mark.parametrize(
    ("preload", "point", "loses"),
    [("", ACCEPTED, False), (acknowledges_first.__name__, acknowledges_first.ACKNOWLEDGED, True)],
    ids=["as it is", "mutant"],
)
async def test_a_producer_killed_where_it_answers_loses_nothing_unless_it_answers_first(
    broker: Broker, tmp_path: Path, preload: str, point: str, loses: bool
) -> None:
    async with connect(broker.url, "user") as user:
        await make_stream(user)
        spec = HierarchicalSpec(
            **{
                **QUICK,
                "workload": "own",
                "tasks": COUNT - loses,
                "tasks_from": f"nats:{SUBJECT}",
                "tasks_server": broker.url,
                "handler": f"{HANDLER}:decide",
            }
        )
        results = tmp_path / "results.jsonl"
        with claim(spec, tmp_path / "run") as directory:
            begin(directory)
            with Results(str(results), directory.tasks) as out:
                await killed_at(point, NTH, spec, directory, user, preload, out)
        assert await left_at_source(user) == (0, 0)
    found = ids(results)
    assert max(found.values()) == 1
    missing = {f"t-{n}" for n in range(COUNT)} - set(found)
    assert bool(missing) is loses
    result = judge(directory.path)
    assert (result.accepted, result.lost, result.duplicated) == (COUNT - loses, 0, 0)
    assert [check.id for check in result.checks if check.verdict == "fail" and check.id != "U1"] == []


async def squall(broker: Broker, folder: Path, out: str, *options: str) -> tuple[dict[str, Any], str]:
    """Take what comes for some seconds; the document, and what was said."""
    process = await asyncio.create_subprocess_exec(
        str(SQUALL),
        *("run", "hierarchical", "--tasks-from", f"nats:{SUBJECT}", "--handler", f"{HANDLER.name}:decide"),
        *("--results", "results.jsonl", "--out", out, "--quiet", "--json", *options),
        cwd=folder,
        env={**os.environ, "NATS_URL": broker.url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(180):
        said, told = await process.communicate()
    return json.loads(said), told.decode()


@pytest.mark.everything
async def test_a_thousand_tasks_given_twice_in_a_run_and_once_more_later_run_once(
    broker: Broker, tmp_path: Path
) -> None:
    count = 1000
    shutil.copy(HANDLER, tmp_path)
    async with connect(broker.url, "user") as user:
        await make_stream(user)
        await publish(user, count)
        await publish(user, count)
        document, told = await squall(broker, tmp_path, "first", "--tasks", str(count), "--seconds", "20")
        assert (document["offered"], document["accepted"], document["lost"]) == (count, count, 0)
        await publish(user, count)
        once = ids(tmp_path / "results.jsonl")
        assert once == Counter(f"t-{n}" for n in range(count))
        document, told = await squall(broker, tmp_path, "second", "--seconds", "8")
        assert f"{2 * count:,} of nats:{SUBJECT} ended in an earlier run, and are not run again" in told
        assert ids(tmp_path / "results.jsonl") == once
        assert await left_at_source(user) == (0, 0)
