"""A handler of one's own in a simulated world: deterministic where the world can see to it, else told so."""

from __future__ import annotations

import ast
import json
import random
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from squall.chaos.cli.setup import spec_of
from squall.chaos.errors import HandlerError
from squall.chaos.simulation import run
from squall.chaos.simulation.alike import check_alike
from squall.chaos.simulation.outcome import Outcome, Plan, outcome
from squall.chaos.simulation.stands import noticed
from squall.services.errors import SpecError

pytestmark = pytest.mark.simulation

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


@pytest.mark.everything  # what is in one process below says the same of more
@pytest.mark.parametrize(
    ("name", "handler"), [("clocks", CLOCKS), ("sleeps", SLEEPS)], ids=["clocks", "sleeps"]
)
def test_clocks_chance_and_sleep_are_those_of_the_world(tmp_path: Path, name: str, handler: str) -> None:
    found = [simulated(tmp_path, handler, f"{name}{turn}") for turn in (1, 2)]
    assert [code for code, _ in found] == [0, 0], found[0]
    digests = {document["digest"] for _, document in found}
    assert len(digests) == 1 or name == "sleeps"


@pytest.mark.everything  # as above; what fails is made small here, which takes a minute
def test_what_reaches_for_the_outside_is_named_with_its_line(tmp_path: Path) -> None:
    code, found = simulated(tmp_path, SOCKET, "socket_")
    assert code == 1
    told = [check for check in found["smallest"]["failed"] if check["id"] == "W1"]
    assert told, found
    assert "socket_:decide" in told[0]["detail"]
    assert "opens a socket" in told[0]["detail"]
    assert "socket_.py:" in told[0]["detail"]


# In this process, many at a time.

CALL = """
{imports}
from squall.services.trading.strategies import decide as ordinary

{kind} decide(task):
{body}
    return dict(account="a", symbol="s", n=task.number, side="buy", quantity=1, price=1.0)
"""

TELL = """
    with open(__file__ + ".told", "a") as told:
        told.write(repr(found) + chr(10))
"""

OF_THE_WORLD = (
    "time(), time_ns()",
    "time_.time(), time_.monotonic(), time_.perf_counter_ns()",
    "datetime.now(), datetime.now(UTC), datetime.utcnow(), date.today()",
    "time_.localtime(), time_.gmtime(), time_.ctime(), time_.strftime('%c %f'), time_.asctime()",
    "time_.process_time(), time_.thread_time_ns(), os.times()",
    "time_.clock_gettime(time_.CLOCK_REALTIME), time_.clock_gettime_ns(1)",
    "asyncio.get_running_loop().time()",
    "uuid.uuid1(), uuid.uuid4()",
    "secrets.randbelow(10**9), secrets.token_bytes(9), secrets.token_hex()",
    "random.random(), random.Random().random(), random.SystemRandom().random()",
    "random.seed(), random.random()",
    "urandom(9), os.getrandom(9)",
    "CHANCE.random()",
    "BEGIN",
    "SEEN.append(task.id) or list(SEEN)",
)
"""What comes to the same whenever the seed does. What a module keeps is its process's own: none has what
another has left, in this world or an earlier one."""

MODULE = """
import asyncio, os, random, secrets, uuid
import time as time_
from datetime import *
from os import urandom
from time import time, time_ns

CHANCE = random.Random()
BEGIN = time()
SEEN = []
"""

REFUSED = {
    "import socket; socket.socketpair()": "opens a socket",
    "import socket; socket.getaddrinfo('localhost', 80)": "opens a socket",
    "import _socket; _socket.socket()": "opens a socket",
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:1')": "opens a socket",
    "import asyncio; await asyncio.open_connection('127.0.0.1', 1)": "opens a socket",
    "import threading; threading.Timer(0, int).start()": "starts a thread",
    "import _thread; _thread.start_new_thread(int, ())": "starts a thread",
    "import concurrent.futures as f; f.ThreadPoolExecutor(1).submit(int)": "starts a thread",
    "import os; os.system('true')": "starts a program",
    "import os; os.popen('true').read()": "starts a program",
    "import os; os.fork()": "starts a program",
    "import os; os.posix_spawn('/bin/true', ['true'], {})": "starts a program",
    "import os; os.execv('/bin/true', ['true'])": "starts a program",
    "import multiprocessing; multiprocessing.Process(target=int).start()": "starts a program",
    "import asyncio; await asyncio.create_subprocess_exec('true')": "starts a program",
    "import threading; threading.Event().wait(0.1)": "waits for another thread",
    "import select; select.select([], [], [], 0.1)": "waits for a file or a socket",
    "import asyncio; asyncio.run(None)": "runs an event loop of its own",
    "import signal; signal.signal(signal.SIGTERM, print)": "uses signals",
    "import signal; signal.alarm(1)": "uses signals",
    "import os; os.kill(os.getpid(), 0)": "uses signals",
    "import os; os.chdir('/')": "changes the current folder",
    "import resource; resource.getrusage(0)": "reads what the process has used",
}


def plan_of(folder: Path, source: str) -> Plan:
    """Few tasks for a handler, in a file whose module no other test has."""
    file = folder / f"handler_{abs(hash(folder))}.py"
    file.write_text(source)
    return Plan(spec=spec_of("hierarchical", tasks_of_load=60, handler=f"{file}:decide"), tasks=3)


def called(folder: Path, body: str, *, kind: str = "async def", imports: str = "") -> Plan:
    """The plan of a handler that runs some lines, and then returns an order."""
    return plan_of(folder, CALL.format(imports=imports, kind=kind, body=textwrap.indent(body, "    ")))


def told_by(plan: Plan, seed: int) -> tuple[Outcome, list[list[str]]]:
    """What comes of a seed, and what its handler has written down meanwhile."""
    written = Path(plan.spec.handler.rpartition(":")[0] + ".told")
    written.unlink(missing_ok=True)
    found = outcome(plan, seed)
    return found, [ast.literal_eval(line) for line in written.read_text().splitlines()]


def test_clocks_chance_and_modules_are_the_same_from_the_same_seed(tmp_path: Path) -> None:
    looked = ", ".join(f"str(({each}))" for each in OF_THE_WORLD)
    plan = called(tmp_path, f"found = [{looked}]{textwrap.dedent(TELL)}", imports=MODULE)
    random.seed()  # which nothing may depend on, as on the time between the two
    first = told_by(plan, 4)
    outcome(plan, 5)
    again = told_by(plan, 4)
    assert first[0].verdict == "pass", first[0].failed
    assert len(first[1]) >= 3
    for one, two in zip(first[1], again[1], strict=True):
        assert dict(zip(OF_THE_WORLD, one, strict=True)) == dict(zip(OF_THE_WORLD, two, strict=True))
    assert first[0].digest == again[0].digest


def test_what_no_world_has_is_refused_and_whoever_takes_no_notice_is_named(tmp_path: Path) -> None:
    tried = "".join(
        f"try:\n    {line}\n    found.append('')\nexcept Exception as error:\n    found.append(str(error))\n"
        for line in REFUSED
    )
    found, told = told_by(called(tmp_path, f"found = []\n{tried}{textwrap.dedent(TELL)}"), 4)
    for each in told:
        expected = [f"this {does}, and a simulated world has none" for does in REFUSED.values()]
        assert [said.partition(";")[0] for said in each] == expected
    assert "took no notice of what it was told: this opens a socket" in blamed(found)


def blamed(found: Outcome) -> str:
    (told,) = (check.detail for check in found.failed if check.id == "W1")
    return told


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize(
    "body",
    [
        "while True: pass",
        "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
        "while True:\n    try:\n        while True: pass\n    except Exception: pass",
    ],
    ids=["busy", "waiting", "catching"],
)
def test_who_does_not_return_is_named_with_the_line_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, body: str
) -> None:
    monkeypatch.setattr(run, "noticed", lambda loop: noticed(loop, 2))
    plan = called(tmp_path, body, kind=kind)
    with pytest.raises(HandlerError, match=r"does not return.*agent-\d.*\.py:\d+ in decide") as raised:
        outcome(plan, 4)
    assert raised.value.exit_code == 1


def test_who_goes_round_with_the_loop_is_named(tmp_path: Path) -> None:
    plan = called(tmp_path, "import asyncio\nwhile True: await asyncio.sleep(0)")
    with pytest.raises(HandlerError, match=r"goes round without an end, at .*\.py:\d+ in decide"):
        outcome(plan, 4)


def test_what_sleeps_beside_the_loop_holds_nobody_up(tmp_path: Path) -> None:
    begun_s = time.monotonic()
    beside, blocking = (
        outcome(called(tmp_path, body), 4)
        for body in (
            "import asyncio, time\nawait asyncio.to_thread(time.sleep, 0.7)",
            "import time\ntime.sleep(0.7)",
        )
    )
    assert time.monotonic() - begun_s < 60
    assert beside.verdict == "pass", beside.failed
    assert beside.digest != blocking.digest


def test_what_it_prints_logs_and_reads_is_nobody_else_s(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = (
        "import logging, sys; print('a'); print('b', file=sys.stderr); logging.error('c'); sys.stdin.read()"
    )
    assert outcome(called(tmp_path, line), 4).verdict == "pass"
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_who_returns_something_else_in_another_process_is_named(tmp_path: Path) -> None:
    plan = called(
        tmp_path, "return dict(account='a', symbol='s', n=hash('x') % 99, side='none', quantity=0, price=1)"
    )
    with pytest.raises(HandlerError, match="is not deterministic: in two processes seed 4 came to two"):
        check_alike(plan, 4)


def test_a_handler_that_cannot_be_imported_is_unusable_input(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="cannot be imported: ZeroDivisionError"):
        outcome(plan_of(tmp_path, "1 / 0"), 4)
