"""A program that each agent of the swarm starts: one task in, as a line of JSON, and one answer out.

It may be written in any language. Standard output is for answers alone; what it writes to standard error
is in the run's logs.
"""

import json
import sys


def answer(said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


for line in sys.stdin:
    task = json.loads(line)
    wanted = task["body"]
    if wanted["quantity"] < 0:
        answer({"id": task["id"], "error": "a quantity is below zero", "final": True})
        continue
    order = {
        "account": "mine",
        "symbol": wanted["symbol"],
        "n": task["number"],
        "side": wanted["side"],
        "quantity": wanted["quantity"],
        "price": wanted["price"],
    }
    value = {"worth": wanted["quantity"] * wanted["price"]}
    answer({"id": task["id"], "effects": [order], "value": value})
