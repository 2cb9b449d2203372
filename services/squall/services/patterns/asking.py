"""Asking whoever writes the roster for a change of it, until it has answered."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING

from nats.aio.msg import Msg

from squall.bus.border import printable
from squall.bus.codec import decode, encode
from squall.bus.connection import Connection
from squall.bus.errors import DecodeError, RequestError
from squall.bus.messages import Message
from squall.bus.vote_messages import RosterWritten
from squall.services.errors import LaunchError

if TYPE_CHECKING:
    from squall.services.run.swarm import Swarm

REGISTRAR = "registrar"
"""The node that writes the roster."""

ASK_S = 60.0
"""How long it is asked: it may be on its way back, and the broker may be."""

AGAIN_S = 0.5
"""After so long without an answer it is asked again. A change that was made is not made twice."""


async def ask_registrar(
    swarm: Swarm, connection: Connection, verb: str, request: Callable[[str], Message]
) -> None:
    """Ask for a change, and wait until it is written.

    Args:
        request: The command, given the token by which its answer is known.

    Raises:
        LaunchError: It was refused, or nobody answered.
    """
    token = secrets.token_hex(8)
    subjects = swarm.swarm
    answered: asyncio.Future[RosterWritten] = asyncio.get_running_loop().create_future()

    def on_answer(message: Msg) -> None:
        try:
            answer = decode(message.data, RosterWritten)
        except DecodeError:
            return
        if not answered.done():
            answered.set_result(answer)

    stop = await connection.subscribe(subjects.reply(REGISTRAR, token), on_answer)
    try:
        async with asyncio.timeout(ASK_S):
            while not answered.done():
                with contextlib.suppress(RequestError):  # the broker is on its way back
                    await connection.publish(subjects.command(REGISTRAR, verb), encode(request(token)))
                await asyncio.wait({answered}, timeout=AGAIN_S)
    except TimeoutError as error:
        raise LaunchError(f"nobody wrote the roster within {ASK_S:g} s") from error
    finally:
        await stop()
    refused = answered.result().refused
    if refused:
        raise LaunchError(f"the roster was not changed: {printable(refused)}")
