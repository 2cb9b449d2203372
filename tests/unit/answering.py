"""A program that answers lines as it is told: ``python answering.py HOW [FILE]``. Standard library only.

Each misbehaves for tasks whose key is ``bad``, and answers all others well.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Answer = dict[str, Any]


def say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()


def good(task: Answer) -> Answer:
    return {"id": task["id"], "effects": [{"n": task["number"]}], "value": {"pid": os.getpid()}}


def garbage(task: Answer) -> None:
    say("hello, I am working on it")


def dies(task: Answer) -> None:
    sys.exit(3)


def hangs(task: Answer) -> None:
    # What it started, in a session of its own, must end with it.
    child = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
    started = subprocess.Popen(child, start_new_session=True, stdout=subprocess.DEVNULL)
    Path(sys.argv[2]).write_text(f"{started.pid} {os.getpid()}")
    time.sleep(600)


def late(task: Answer) -> None:
    time.sleep(3.0)
    say(json.dumps(good(task)))


def twice(task: Answer) -> None:
    say(json.dumps(good(task)))
    say(json.dumps({**good(task), "effects": []}))


def another(task: Answer) -> None:
    say(json.dumps({**good(task), "id": "t-other"}))


def anonymous(task: Answer) -> None:
    say(json.dumps({"effects": []}))


def partial(task: Answer) -> None:
    say(json.dumps(good(task))[:-10], end="")
    sys.exit(0)


def torn(task: Answer) -> None:
    """All of it but the end of the line."""
    say(json.dumps(good(task)), end="")
    sys.exit(0)


def much(task: Answer) -> None:
    say(json.dumps({"id": task["id"], "value": "x" * 2_000_000}))


def endless(task: Answer) -> None:
    while True:
        say("x" * 100_000, end="")


def strange(task: Answer) -> None:
    say(json.dumps({"id": task["id"], "effect": []}))


def fails(task: Answer) -> None:
    say(json.dumps({"id": task["id"], "error": "no price"}))


def gives_up(task: Answer) -> None:
    say(json.dumps({"id": task["id"], "error": "no such account", "final": True}))


def environment(task: Answer) -> None:
    say(json.dumps({"id": task["id"], "value": dict(os.environ)}))


def asked(task: Answer) -> None:
    say(json.dumps({"id": task["id"], "value": task}))


def complains(task: Answer) -> None:
    for number in range(500):
        sys.stderr.write(f"complaint {number} \x1b[31m\n")
    sys.stderr.flush()
    say(json.dumps(good(task)))


def deaf(task: Answer) -> None:
    raise AssertionError("reads nothing")


def slow_start(task: Answer) -> None:
    say(json.dumps(good(task)))


def main() -> None:
    how: Callable[[Answer], Answer | None] = globals()[sys.argv[1]]
    if how is deaf:
        sys.exit(4)
    if how is slow_start:
        time.sleep(1.0)
    for line in sys.stdin:
        task = json.loads(line)
        answer = how(task) if task["key"] == "bad" else good(task)
        if answer is not None:
            say(json.dumps(answer))


if __name__ == "__main__":
    main()
