"""A handler that starts, leaves behind, reads and holds up what it can. Copied to where `squall` starts."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import math
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from neighbour import order

from squall.services.handlers import Result

HERE = Path(__file__).parent
ROLES: dict[str, str] = json.loads((HERE / "roles.json").read_text())
"""What certain tasks do."""

NEVER = 777


def leave(*command: str, **options: Any) -> None:
    note("left", subprocess.Popen([*command, "sleep", str(NEVER)], **options).pid)


def note(what: str, *facts: Any) -> None:
    with (HERE / f"{what}.notes").open("a") as notes:
        notes.write(json.dumps(facts) + "\n")


def open_here() -> list[str]:
    """What the open descriptors of this process stand for, errors apart."""
    found = []
    for number in (0, 1, *range(3, 64)):
        with contextlib.suppress(OSError):
            found.append(str(Path(f"/proc/self/fd/{number}").readlink()))
    return found


LISTS = f"import contextlib\nfrom pathlib import Path\n{inspect.getsource(open_here)}\nprint(open_here())"


def reads_what_it_can() -> None:
    """As a program that asks for input would."""
    said = subprocess.run(["cat"], stdout=subprocess.PIPE, timeout=30, check=True).stdout
    open_in_child = subprocess.run(
        [sys.executable, "-I", "-c", LISTS], capture_output=True, check=True
    ).stdout
    note("read", said.decode(), sys.stdin.read(), open_in_child.decode())


def forks_and_dies() -> None:
    """A helper of a handler holds whatever was open; then the agent dies alone."""
    child = os.fork()
    if child == 0:
        note("forked", open_here())
        time.sleep(NEVER)
    note("left", child)
    while not (HERE / "forked.notes").exists():
        time.sleep(0.01)
    os._exit(9)


async def holds_the_loop() -> None:
    while True:
        pass


async def swallows_cancellation() -> None:
    while True:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(NEVER)


async def leaves_an_exit() -> None:
    async def exits() -> None:
        raise SystemExit(5)

    ROOTED.append(asyncio.create_task(exits()))


ROOTED: list[Any] = []


def decide(task: Any) -> Any:
    role = ROLES.get(task.id)
    note("begun", task.id, os.getpid())
    if role == "reads":
        reads_what_it_can()
    elif role == "forks":
        forks_and_dies()
    elif role == "backtracks":
        re.match("(a*)*b", "a" * 60)
    elif role == "holds":
        return holds_the_loop()
    elif role == "swallows":
        return swallows_cancellation()
    elif role == "exits later":
        return leaves_an_exit()
    elif role == "text":
        return Result(value="text")  # type: ignore[arg-type]
    elif role == "nan":
        return {**order(task), "price": math.nan}
    elif role == "surrogate":
        raise ValueError("\ud800")
    return order(task)


for stream in (sys.stdin, sys.stdout):
    assert stream is not None
leave(stdout=subprocess.DEVNULL)
leave("setsid", stdin=subprocess.DEVNULL)
import ctypes  # noqa: E402

note("sealed", ctypes.CDLL(None).prctl(3), resource.getrlimit(resource.RLIMIT_CORE)[0], sys.argv[1:])
