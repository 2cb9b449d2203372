"""A handler that looks for what its neighbours have, without any capability, and notes what it got."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from squall.services.handlers import Task
from squall.services.trading.strategies import decide as honest

FOLDER = Path(__file__).parent
VERSION_3 = 0x20080522


def give_up_capabilities() -> None:
    """Be an ordinary user, whoever started the tests."""
    header = (ctypes.c_uint32 * 2)(VERSION_3, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def family(parent: int) -> dict[int, str]:
    """The command and its other children, with their command lines."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            above = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            pid = int(folder.name)
            if parent in (above, pid) and pid != os.getppid():
                found[pid] = (folder / "cmdline").read_text().replace("\0", " ").strip()
        except OSError:
            continue
    return found


def reached(pid: int) -> list[str]:
    """What of a process can be got at."""
    got = []
    for part in ("mem", "environ", "maps"):
        try:
            with Path(f"/proc/{pid}/{part}").open("rb", 0) as file:
                if part == "mem" or file.read(1):
                    got.append(part)
        except OSError:
            continue
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
            os.readlink(f"/proc/{pid}/fd/{number}")  # noqa: PTH115
            got.append(f"fd {number}")
    except OSError:
        pass
    return got


def orders(url: str) -> dict[str, Any]:
    """What the venue answers to whom it does not know."""
    order = {"account": "evil", "symbol": "s", "n": 1, "side": "buy", "quantity": 1, "price": 1.0}
    body = json.dumps([{"order_id": "stolen-0", "order": order}]).encode()
    answers = {}
    for kind, headers in (
        ("json", {"Content-Type": "application/json"}),
        ("text", {"Content-Type": "text/plain", "Origin": "http://example.org", "Host": "example.org"}),
        ("a token of nothing", {"Authorization": "Bearer "}),
    ):
        asked = urllib.request.Request(f"{url}/orders", body, headers, method="POST")
        try:
            with urllib.request.urlopen(asked, timeout=5) as answer:
                answers[kind] = answer.status
        except urllib.error.HTTPError as error:
            answers[kind] = error.code
        except OSError as error:
            answers[kind] = type(error).__name__
    return answers


def listening(pids: list[int]) -> list[int]:
    """The ports at which these processes listen, as far as that can be seen; never those of anybody else."""
    sockets = set()
    for pid in pids:
        try:
            for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
                sockets.add(
                    os.readlink(f"/proc/{pid}/fd/{number}")  # noqa: PTH115
                    .removeprefix("socket:[")
                    .removesuffix("]")
                )
        except OSError:
            continue
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A" and row[9] in sockets]


def told(name: str) -> Any:
    """What the test says, once it does."""
    while not (FOLDER / name).exists():
        time.sleep(0.05)
    return json.loads((FOLDER / name).read_text())


def main() -> None:
    parent = int(sys.argv[1])
    relatives = family(parent)
    give_up_capabilities()
    found = {
        "reached": {f"{pid} {line}": got for pid, line in relatives.items() if (got := reached(pid))},
        "relatives": len(relatives),
        "orders": {
            f"{port} {kind}": answer
            for port in told("venue")
            for kind, answer in orders(f"http://127.0.0.1:{port}").items()
        },
    }
    beside = FOLDER / f"found.{os.getpid()}"
    beside.write_text(json.dumps(found))
    beside.rename(FOLDER / "found.json")


async def decide(task: Task) -> Any:
    if not (FOLDER / "begun").exists():
        (FOLDER / "begun").touch()
        parent = str(os.getppid())
        subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, __file__, parent], stdin=subprocess.DEVNULL, start_new_session=True
        )
    return await honest(task)


if __name__ == "__main__":
    main()
