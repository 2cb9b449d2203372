"""The same handler in a swarm that is broken on purpose; what its swarm did is judged as the test ends."""

import json
from pathlib import Path
from typing import Any

import pytest

TASKS = Path(__file__).with_name("many.jsonl")


def line(n: int) -> str:
    key = f"K{n % 9}"
    body = {"symbol": key, "side": "buy", "quantity": n, "price": 1.5}
    return json.dumps({"id": f"test-{n}", "key": key, "body": body})


TASKS.write_text("\n".join(map(line, range(3000))))


@pytest.mark.squall(handler="mine:decide", tasks_from=str(TASKS), rate_per_s=50)
async def test_nothing_is_lost_or_doubled_whoever_is_killed_or_cut_off(swarm: Any, nemesis: Any) -> None:
    async with nemesis.crash("any-agent"):
        await swarm.progress(50)
    async with nemesis.blackhole("leader"):
        await swarm.progress(100)
    result = await swarm.finish()
    assert (result.lost, result.duplicated) == (0, 0)
