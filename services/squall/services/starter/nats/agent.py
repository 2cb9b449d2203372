"""A responder that the agents of the swarm ask over NATS: a request with one task as JSON, and its reply.

It may be written in any language that has a client of NATS, and run several times: they share the work.
"""

import asyncio
import json

import nats
from nats.aio.msg import Msg

SERVER = "nats://127.0.0.1:8766"


async def decide(message: Msg) -> None:
    task = json.loads(message.data)
    wanted = task["body"]
    if wanted["quantity"] < 0:
        await answer(message, {"error": "a quantity is below zero", "final": True})
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
    await answer(message, {"id": task["id"], "effects": [order], "value": value})


async def answer(message: Msg, said: object) -> None:
    await message.respond(json.dumps(said).encode())


async def main() -> None:
    connection = await nats.connect(SERVER)
    await connection.subscribe("mine.decide", "agents", decide)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
