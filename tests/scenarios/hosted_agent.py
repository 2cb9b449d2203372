"""An agent hosted with the package of the Synadia Agent Protocol: ``python hosted_agent.py URL [CREDS]``.

Told to stop, it stops as its package has it: with a part of an answer, and an end like any other.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import nats
from synadia_ai.agent_service import AgentService, PromptStream
from synadia_ai.agents import Envelope


async def decide(envelope: Envelope, stream: PromptStream) -> None:
    asked = envelope.extras["squall"]
    assert isinstance(asked, dict)
    order = {"account": "a", "symbol": "s", "n": asked["number"], "side": "buy", "quantity": 1, "price": 1}
    text = json.dumps({"id": asked["id"], "effects": [order]})
    await stream.send(text[:20])
    await asyncio.sleep(0.05)
    await stream.send(text[20:])


async def main() -> None:
    connection = await nats.connect(sys.argv[1], user_credentials=sys.argv[2] if sys.argv[2:] else None)
    agent = AgentService(
        agent="pricer", owner="me", session_name="main", nc=connection, max_concurrent_prompts=8
    )
    agent.on_prompt(decide)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await agent.start()
    await stop.wait()
    await agent.stop()
    await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
