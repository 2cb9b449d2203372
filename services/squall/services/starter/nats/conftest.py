"""The tests have a broker and a responder of their own to ask, unless a broker is there already."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from agent import SERVER

PORT = urlsplit(SERVER).port or 4222


def is_there() -> bool:
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", PORT)) == 0


@pytest.fixture(scope="session", autouse=True)
def responder() -> Iterator[None]:
    if is_there():
        yield
        return
    broker = subprocess.Popen(["nats-server", "--addr", "127.0.0.1", "--port", str(PORT)])
    try:
        until = time.monotonic() + 10
        while not is_there():
            assert time.monotonic() < until, "the broker did not begin"
            time.sleep(0.05)
        with subprocess.Popen([sys.executable, Path(__file__).with_name("agent.py")]) as running:
            yield
            running.kill()
    finally:
        broker.kill()
        broker.wait()
