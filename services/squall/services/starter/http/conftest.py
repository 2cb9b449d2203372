"""The tests have a service of their own to ask, unless one is there already."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from agent import PORT


def is_there() -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", PORT)) == 0


@pytest.fixture(scope="session", autouse=True)
def service() -> Iterator[None]:
    if is_there():
        yield
        return
    running = subprocess.Popen([sys.executable, Path(__file__).with_name("agent.py")])
    try:
        until = time.monotonic() + 10
        while not is_there():
            assert time.monotonic() < until, "the service did not begin"
            time.sleep(0.05)
        yield
    finally:
        running.kill()
        running.wait()
