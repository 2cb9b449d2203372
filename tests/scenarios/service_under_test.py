"""An HTTP service that answers tasks as services do: ``python service_under_test.py PORT``.

Of each ten tasks one is answered 500 at first, one is slow, and one has its connection cut before the answer.
"""

from __future__ import annotations

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Decide(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        task = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_first, how = task["attempt"] == 1, sum(task["id"].encode()) % 10
        if is_first and how == 0:
            self.send_error(500)
            return
        if how == 1:
            time.sleep(0.3)
        if is_first and how == 2:
            self.close_connection = True
            return
        order = {"account": "a", "symbol": "s", "n": task["number"], "side": "buy", "quantity": 1, "price": 1}
        text = json.dumps({"id": task["id"], "effects": [order]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *said: object) -> None:
        """Nothing."""


class Quiet(ThreadingHTTPServer):
    """A server to whom callers that are gone are nothing to tell of."""

    def handle_error(self, *who: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    Quiet(("127.0.0.1", int(sys.argv[1])), Decide).serve_forever()
