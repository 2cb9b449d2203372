"""A service that the agents of the swarm ask: POST of one task as JSON, answered by one.

It may be written in any language. Each request has the task's id as Idempotency-Key, the same in every
attempt.
"""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 8765


class Agent(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        task = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        wanted = task["body"]
        if wanted["quantity"] < 0:
            self.answer(422, {"id": task["id"], "error": "a quantity is below zero"})
            return
        order = {
            "account": "mine",
            "symbol": wanted["symbol"],
            "n": task["number"],
            "side": wanted["side"],
            "quantity": wanted["quantity"],
            "price": wanted["price"],
        }
        value = {"worth": wanted["quantity"] * wanted["price"]}
        self.answer(200, {"id": task["id"], "effects": [order], "value": value})

    def answer(self, status: int, said: object) -> None:
        text = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", PORT), Agent).serve_forever()
