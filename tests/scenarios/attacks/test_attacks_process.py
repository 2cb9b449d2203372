"""Processes: what a handler finds of its neighbours in /proc, at the venue's door and in its folder.

The command is started, and so is all that it starts, without any capability, as an ordinary user's is: who
may trace every process of the machine needs no swarm to attack.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.attacks.inherent import CLASSES, INHERENT
from tests.scenarios.attacks.spying import listening

pytestmark = pytest.mark.nats

SQUALL = Path(sys.executable).parent / "squall"
SHADOWED = ("uvloop", "msgspec", "httpx", "starlette", "uvicorn", "nats", "nkeys", "rich", "json", "ssl")

SHADOW = """
import os, sys
from pathlib import Path
with (Path(__file__).parent / "shadowed").open("a") as seen:
    print(__name__, *sys.argv, file=seen)
raise ImportError(__name__)
"""


UNCAPPED = """#!{python}
import ctypes, os, sys
for capability in range(64):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: nothing that is run from here has it
os.execv({program!r}, [{program!r}, *sys.argv[1:]])
"""


@pytest.fixture
def spied_on(squall_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a spying handler found in a real run, started by the command in a folder full of traps."""
    spying = tmp_path / "spying"
    spying.mkdir()
    shutil.copy(Path(__file__).parent / "spying.py", spying / "spying.py")
    started_in = tmp_path / "0"
    started_in.mkdir()
    for name in SHADOWED:
        (started_in / f"{name}.py").write_text(SHADOW)
    spec = {
        "pattern": "hierarchical",
        "tasks": 400,
        "rate_per_s": 100,
        "agents": 2,
        "pause_leader": False,
        "handler": f"{spying / 'spying.py'}:decide",
    }
    program = tmp_path / "squall"
    program.write_text(UNCAPPED.format(python=sys.executable, program=str(SQUALL)))
    program.chmod(0o700)
    monkeypatch.setitem(squall_run.__globals__, "SQUALL", program)
    run = squall_run(spec)
    # The spy is told where the venue is: that it answers nobody else is what is promised.
    run.wait_for(lambda: "agent" in {node["role"] for node in run.nodes().values()}, "an agent")
    (spying / "venue.new").write_text(json.dumps(listening([run.nodes()["venue"]["pid"]])))
    (spying / "venue.new").rename(spying / "venue")
    run.wait_for(lambda: (spying / "found.json").exists(), "what the spy found")
    found: dict[str, Any] = json.loads((spying / "found.json").read_text())
    document = run.end(120)
    shadowed = started_in / "shadowed"
    return {
        **found,
        "document": document,
        "shadowed": shadowed.read_text() if shadowed.exists() else "",
        "ledger": run.ledger(),
        "folders": {path.name: path.stat().st_mode & 0o077 for path in (run.path, run.path / "venue.sqlite")},
    }


def test_a_handler_reaches_nothing_of_its_neighbours(spied_on: dict[str, Any], oracle_of: Any) -> None:
    assert spied_on["relatives"] >= 6
    reached = {line: got for line, got in spied_on["reached"].items() if "nats-server" not in line}
    assert reached == {}, "memory or pipes of other processes"
    assert spied_on["orders"] != {} or os.getuid() != 0, "the venue was not found"
    assert 200 not in spied_on["orders"].values(), "the venue takes orders from anybody"
    assert spied_on["shadowed"] == "", "modules of the working directory ran in nodes"
    assert spied_on["folders"] == dict.fromkeys(spied_on["folders"], 0), "others may read the run"
    document = spied_on["document"]
    assert (document["accepted"], document["lost"], document["duplicated"]) == (400, 0, 0)
    assert all(row[1] != "evil" for row in spied_on["ledger"])


def test_every_class_has_its_file() -> None:
    tests = Path(__file__).parents[2]
    assert [name for name in CLASSES.values() if not (tests / name).is_file()] == []


def test_the_readme_says_of_everything_inherent_why_it_must_be() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    table = readme.split("## What is trusted")[1].split("\n## ")[0]
    rows = {
        line.split("|")[1].strip(): line.split("|")[2].strip() for line in table.splitlines() if "|" in line
    }
    reasons = {
        name: why for name, why in rows.items() if name not in ("a process that was taken over", "---")
    }
    assert set(reasons) == set(INHERENT)
    assert all(len(why) > 40 for why in reasons.values())
