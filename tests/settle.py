"""When a plain nats-py client may go on: nats-py writes a PING ahead of what it has not sent yet."""

from __future__ import annotations

from nats.aio.client import Client


async def settle(client: Client) -> None:
    """Wait until the broker has all that was subscribed to and published so far.

    Twice: the first PING may pass what is pending, which the broker then has before the second.
    """
    await client.flush()
    await client.flush()
