"""A sink that fails as sinks do, and keeps a journal: ``python -m …mutants.failing_sink PORT FILE``.

    POST /effects   one effect; its key in Idempotency-Key. Or a list of {"key", "effect"}
    GET  /journal   every request as received, a line of JSON each

Of a hundred effects, by their keys, five are answered 500 at first and not carried out, five are carried out
and answered 500, of five more the connection is reset instead, five are slow, and two are answered 429 with a
time. What it has carried out before it answers 409. An effect with ``"bad": true`` it never takes: 400, which
of a list it takes nothing for. Else it answers a list with the status of each, or resets the connection.
It finds in its file what it had done when it is started again, so that it may be killed at any moment.
"""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import sys
import threading
import time
import zlib
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SLOW_S = 0.2
LATER_S = 1

BAD = "it is bad, and this sink takes none that is"


class Books:
    """What it has received, and what it has carried out."""

    def __init__(self, path: Path) -> None:
        self.lock = threading.Lock()
        self.path = path
        self.asked: Counter[str] = Counter()
        self.done: set[str] = set()
        self._file = path.open("a+b", buffering=0)
        self._file.seek(0)
        for line in self._file.read().splitlines():
            row = json.loads(line)
            self.asked[row["order_id"]] += 1
            if row["outcome"] == "filled":
                self.done.add(row["order_id"])

    def write(self, key: str, body: object, outcome: str, reason: str = "") -> None:
        """Write a request down before anybody is told what became of it."""
        row = {"order_id": key, "time_s": time.time(), "outcome": outcome, "reason": reason, "body": body}
        self._file.write(json.dumps(row).encode() + b"\n")
        if outcome == "filled":
            self.done.add(key)


class Sink(BaseHTTPRequestHandler):
    """Answers one caller."""

    protocol_version = "HTTP/1.1"
    books: Books

    def do_GET(self) -> None:
        self._answer(200, self.books.path.read_bytes())

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if isinstance(body, list):
            self._take_all(body)
            return
        status = self._take(self.headers["Idempotency-Key"], body)
        if status:
            self._answer(status, BAD.encode() if status == 400 else b"")
        else:
            self._reset()

    def _take_all(self, batch: list[dict[str, Any]]) -> None:
        if len(batch) > 1 and any(each["effect"].get("bad") for each in batch):
            with self.books.lock:
                for each in batch:
                    self.books.write(each["key"], each["effect"], "", "one beside it is bad")
            self._answer(400, BAD.encode())
            return
        told = [{"key": each["key"], "status": self._take(each["key"], each["effect"])} for each in batch]
        if all(each["status"] for each in told):
            self._answer(207, json.dumps(told).encode())
        else:
            self._reset()

    def _take(self, key: str, body: Any) -> int:
        """What it answers to one effect; 0 is nothing."""
        how = zlib.crc32(key.encode()) % 100
        if 15 <= how < 20:
            time.sleep(SLOW_S)
        with self.books.lock:
            self.books.asked[key] += 1
            first = self.books.asked[key] == 1
            if key in self.books.done:
                self.books.write(key, body, "duplicate")
                status = 409
            elif isinstance(body, dict) and body.get("bad"):
                self.books.write(key, body, "rejected", BAD)
                status = 400
            elif first and (how < 5 or 20 <= how < 22):
                self.books.write(key, body, "")
                status = 500 if how < 5 else 429
            else:
                self.books.write(key, body, "filled")
                status = 500 if first and how < 10 else 0 if first and how < 15 else 201
        return status

    def _answer(self, status: int, text: bytes) -> None:
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", str(LATER_S))
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _reset(self) -> None:
        """Have the connection reset, as by a machine that was switched off."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def finish(self) -> None:
        """Let go of the connection, which may be gone."""
        with contextlib.suppress(OSError):
            super().finish()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing."""


class Quiet(ThreadingHTTPServer):
    """A server to whom callers that are gone are nothing to tell of."""

    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """Nothing."""


def main() -> None:
    """Serve until killed."""
    port, path = int(sys.argv[1]), Path(sys.argv[2])
    Sink.books = Books(path)
    with Quiet(("127.0.0.1", port), Sink) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
