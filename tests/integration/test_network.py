"""Who is connected to the broker past the proxies."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from squall.chaos.inject.network import _sockets, connected, reaches

CONNECTS = """
import socket, sys
from squall.bus.guard_process import seal
seal()
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("connected", flush=True)
sys.stdin.read()
"""


def test_a_connection_of_a_process_that_hides_its_descriptors_is_seen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            assert reaches(os.getpid(), port)
            assert connected(port) <= set(_sockets(os.getpid()))
            child = subprocess.Popen(
                [sys.executable, "-c", CONNECTS, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            try:
                assert child.stdout is not None
                child.stdout.readline()
                assert len(connected(port) - set(_sockets(os.getpid()))) == 1
            finally:
                child.communicate()
