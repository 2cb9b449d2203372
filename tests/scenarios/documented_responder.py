"""A responder as the documentation of nats-py shows one: ``python documented_responder.py URL [CREDS]``."""

from __future__ import annotations

import asyncio
import json
import sys

import nats
from nats.aio.msg import Msg


async def main() -> None:
    connection = await nats.connect(sys.argv[1], user_credentials=sys.argv[2] if sys.argv[2:] else None)

    async def decide(message: Msg) -> None:
        task = json.loads(message.data)
        order = {"account": "a", "symbol": "s", "n": task["number"], "side": "buy", "quantity": 1, "price": 1}
        await asyncio.sleep(0.05)
        await message.respond(json.dumps({"effects": [order]}).encode())

    await connection.subscribe("prices.decide", "workers", decide)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
