"""A handler of one's own in a simulated world: deterministic where the world can see to it, else told so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.alone

SQUALL = Path(sys.executable).with_name("squall")

ORDER = """
from squall.services.trading.strategies import decide as ordinary


async def ordered(task):
    return await ordinary(task)
"""

CLOCKS = (
    ORDER
    + """
import datetime, os, random, time, uuid


async def decide(task):
    told = [time.time(), time.perf_counter(), datetime.datetime.now().timestamp(), random.random()]
    told += [uuid.uuid4().hex, os.urandom(4).hex()]
    return [{**vars_of(await ordered(task)), "told": str(told)}]


def vars_of(order):
    return {name: getattr(order, name) for name in order.__struct_fields__}
"""
)

SLEEPS = (
    ORDER
    + """
import asyncio, time


def decide(task):
    time.sleep(0.4)
    return ordered(task)
"""
)

SOCKET = """
import socket


def decide(task):
    socket.socket()
"""

THREAD = """
import threading


async def decide(task):
    threading.Thread(target=print).start()
"""

PROGRAM = """
import subprocess


def decide(task):
    subprocess.run(["true"])
"""


def simulated(folder: Path, handler: str, name: str) -> tuple[int, dict[str, Any]]:
    (folder / f"{name}.py").write_text(handler)
    asked = ["simulate", "hierarchical", "--schedules", "1", "--seed", "4", "--tasks", "10", "--quiet"]
    done = subprocess.run(
        [SQUALL, *asked, "--handler", f"{name}:decide", "--json", "--out", name],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.stdout, done.stderr
    (found,) = json.loads(done.stdout)["simulated"]
    return done.returncode, found


@pytest.mark.parametrize(
    ("name", "handler"), [("clocks", CLOCKS), ("sleeps", SLEEPS)], ids=["clocks", "sleeps"]
)
def test_clocks_chance_and_sleep_are_those_of_the_world(tmp_path: Path, name: str, handler: str) -> None:
    found = [simulated(tmp_path, handler, f"{name}{turn}") for turn in (1, 2)]
    assert [code for code, _ in found] == [0, 0], found[0]
    digests = {document["digest"] for _, document in found}
    assert len(digests) == 1 or name == "sleeps"


@pytest.mark.parametrize(
    ("name", "handler", "says"),
    [
        ("socket_", SOCKET, "opens a socket"),
        ("thread_", THREAD, "starts a thread"),
        ("program", PROGRAM, "starts a program"),
    ],
    ids=["socket", "thread", "program"],
)
def test_what_reaches_for_the_outside_is_named_with_its_line(
    tmp_path: Path, name: str, handler: str, says: str
) -> None:
    code, found = simulated(tmp_path, handler, name)
    assert code == 1
    told = [check for check in found["smallest"]["failed"] if check["id"] == "W1"]
    assert told, found
    assert f"{name}:decide" in told[0]["detail"]
    assert says in told[0]["detail"]
    assert f"{name}.py:" in told[0]["detail"]
