"""``agent:AGENT/OWNER/NAME``: an agent that speaks the Synadia Agent Protocol 0.3, on a broker of the user's.

    found by $SRV.INFO.agents ──► prompt ──► its answer, in parts ──► the end ──► the answer
          ▲                          │            └── silence ──► asked for its status: gone ──► tried again
          └── nobody listens ◄───────┘ not there: no attempt was made

What the parts are is in `agent_stream.py`.
It is told the body as its prompt, and beside it, as ``squall``, what a program is told. It has no attempt's
id, so what it does by itself is done again with every attempt. One that is late works on: its slot stays shut
until its answer has ended, as long again at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from nats.aio.msg import Msg

from squall.bus.border import printable
from squall.bus.connection import Connection
from squall.bus.ended import Ended, NotThere
from squall.bus.errors import (
    BusError,
    ConnectionLostError,
    NoRespondersError,
    RequestError,
    RequestTimeoutError,
)
from squall.bus.messages import RunTask
from squall.services.errors import SpecError
from squall.services.handlers import PoisonError, answers, outcome
from squall.services.handlers.agent_stream import AgentStream
from squall.services.handlers.over_nats import Reaching, failed, health, way_to
from squall.services.handlers.port import Form, Handling, Host, Loaded, told_of
from squall.services.users_broker import is_subject

PREFIX = "agent:"
NAME = re.compile(r"[a-z0-9-]+/[A-Za-z0-9_-]+/[A-Za-z0-9_-]+")
VERSION = "0.3"
DISCOVERY = "$SRV.INFO.agents"

FIND_S = 0.75
"""How long answers of agents are waited for: each says for itself that it is there."""

SILENCE_S = 5.0
"""After how long without a word an agent is asked whether it is there."""

STATUS_S = 2.0
"""How long the answer to that may take; one that stands still gives none, and may go on."""

INSTANCES_MAX = 100
"""Of an agent; more are not told apart."""

QUERIES_MAX = 8
"""How often an agent may ask something back within one answer."""

NO = b'{"prompt": "no"}'
"""What it is told then: nobody is here who could say yes."""


class Endpoint(msgspec.Struct):
    """What an agent can be asked by."""

    name: str
    subject: str


class Info(msgspec.Struct):
    """What an agent says of itself."""

    id: str
    metadata: dict[str, str] = {}
    endpoints: tuple[Endpoint, ...] = ()


class Status(msgspec.Struct):
    """What it answers who asks whether it is there."""

    instance_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Found:
    """An agent that is there.

    Attributes:
        prompt, status: Subjects.
        instance: Which process it is; empty if there are several of its name, and none can be told.
    """

    prompt: str
    status: str
    instance: str


class AbsentError(Exception):
    """It is not there; the message says why."""


def load(handling: Handling, origin: Any) -> Loaded:
    """An agent by its name.

    Raises:
        SpecError: It is none, or it is not said where its broker is.
    """
    name = handling.name.removeprefix(PREFIX)
    if not NAME.fullmatch(name):
        raise SpecError(
            f"the handler {printable(handling.name, 100)!r} names no agent",
            "its kind, owner and name: agent:pricer/me/main",
        )
    way = way_to(handling)
    return Loaded(open=lambda host: Agent(name, way(host), handling.answer, host))


class Agent:
    """An agent that is asked."""

    def __init__(self, name: str, reached: Reaching, form: Form, host: Host) -> None:
        self._name = name
        self._reached = reached
        self._form: Form = form
        self._host = host
        self._found: Found | None = None
        self._free = asyncio.Semaphore(host.slots)
        self._late: dict[Answer, asyncio.Task[None]] = {}
        self.health = ""

    async def run(self, task: RunTask, attempt: int) -> Ended:
        """One attempt, by one prompt."""
        timeout_s = self._host.timeout_s
        try:
            prompt = envelope(task, attempt)
        except UnicodeDecodeError:
            return outcome.raised(PoisonError("the body is not UTF-8, and an agent is asked with text"))
        ended: Ended
        with told_of(self._host.running, task.task, attempt):
            try:
                ended = await self._ask(task, prompt, timeout_s)
            except AbsentError as error:
                self._found = None
                ended = NotThere(str(error))
            except (BusError, SpecError) as error:
                if isinstance(error, NoRespondersError):
                    self._found = None
                ended = failed(error, self._name, timeout_s)
        self.health = health(ended)
        return ended

    async def _ask(self, task: RunTask, prompt: bytes, timeout_s: float) -> Ended:
        """Ask, and wait for the answer.

        Raises:
            AbsentError: It is not there.
            BusError, SpecError: Its broker is not.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._free.acquire()
        except TimeoutError:
            raise AbsentError(f"{self._name} still works on what it was asked before") from None
        slot = contextlib.ExitStack()
        slot.callback(self._free.release)
        with slot:
            connection = await self._reached.connection()
            found = self._found = self._found or await self._find(connection)
            answer = Answer(connection, found, AgentStream(task.task, self._form))
            try:
                async with asyncio.timeout(timeout_s):
                    return await answer.ask(prompt)
            except RequestError:
                raise  # first: a lost connection is a time-out too
            except TimeoutError:
                self._outlast(answer, timeout_s, slot.pop_all())
                return answers.late(timeout_s)
            finally:
                if answer not in self._late:
                    await answer.close()

    def _outlast(self, answer: Answer, timeout_s: float, slot: contextlib.ExitStack) -> None:
        """Keep a slot shut until what was abandoned in it has ended: or retries pile up behind it."""

        async def wait() -> None:
            with slot, contextlib.suppress(TimeoutError, BusError):
                try:
                    async with asyncio.timeout(timeout_s):
                        await answer.to_its_end()
                finally:
                    del self._late[answer]
                    await answer.close()

        self._late[answer] = asyncio.create_task(wait())

    async def _find(self, connection: Connection) -> Found:
        """Ask who is there, and see what the agent says of itself.

        Raises:
            AbsentError: Nobody of its name is, or speaks another protocol.
        """
        found: list[Info] = []

        def hear(message: Msg) -> None:
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                info = msgspec.json.decode(message.data, type=Info)
                if name_of(info) == self._name and len(found) < INSTANCES_MAX:
                    found.append(info)

        async with private(connection, "find", hear) as inbox:
            await connection.publish(DISCOVERY, b"", reply=inbox)
            await asyncio.sleep(FIND_S)
        if not found:
            raise AbsentError(f"no agent says that it is {self._name}")
        versions = {info.metadata.get("protocol_version", "") for info in found}
        if versions != {VERSION}:
            spoken = printable(", ".join(sorted(versions - {VERSION})) or "none", 40)
            raise AbsentError(
                f"{self._name} speaks the agent protocol {spoken}, and {VERSION} is spoken here"
            )
        subjects = {each.name: each.subject for each in found[0].endpoints if is_subject(each.subject)}
        if "prompt" not in subjects:
            raise AbsentError(f"{self._name} says nowhere that it can be prompted")
        return Found(
            prompt=subjects["prompt"],
            status=subjects.get("status", ""),
            instance=found[0].id if len({info.id for info in found}) == 1 else "",
        )

    async def close(self) -> None:
        """Let go of its connection, and of what it was still to answer."""
        late = set(self._late.values())
        for each in late:
            each.cancel()
        if late:
            await asyncio.wait(late)
        await self._reached.close()


@contextlib.asynccontextmanager
async def private(connection: Connection, kind: str, hear: Callable[[Msg], None]) -> AsyncIterator[str]:
    """Listen on a subject of the present link that nobody else is told, inside the block."""
    name = connection.private_name(kind)
    stop = await connection.subscribe(name, hear, private=True)
    try:
        yield f"{connection.private_inbox}.{name}"
    finally:
        await stop()


class Answer:
    """The answer to one prompt, which comes in parts on a subject of its own."""

    def __init__(self, connection: Connection, found: Found, stream: AgentStream) -> None:
        self._connection = connection
        self._found = found
        self._stream = stream
        self._asked_back: list[str] = []
        self._absent = ""
        self._news = asyncio.Event()
        self._lost = False
        self._open = contextlib.AsyncExitStack()

    async def ask(self, prompt: bytes) -> Ended:
        """Ask, and read to the end.

        Raises:
            AbsentError: Nobody listens.
            BusError: The broker is not there, or no more.
        """
        inbox = await self._open.enter_async_context(private(self._connection, "answer", self._hear))
        self._open.callback(self._connection.on_link(self._lose))
        await self._connection.publish(self._found.prompt, prompt, reply=inbox)
        return await self.to_its_end()

    async def to_its_end(self) -> Ended:
        """Read what comes until there is nothing more to come."""
        answered = 0
        while self._stream.ended is None:
            try:
                async with asyncio.timeout(SILENCE_S):
                    await self._news.wait()
            except TimeoutError:
                await self._see_that_it_is_there()
            self._news.clear()
            if self._absent:
                raise AbsentError(self._absent)
            if self._lost:
                raise ConnectionLostError(self._found.prompt, "there is another link now")
            for subject in self._asked_back:
                answered += 1
                if answered > QUERIES_MAX:
                    return answers.mistake("broke", f"asked back more than {QUERIES_MAX} times")
                await self._connection.publish(subject, NO, confirm=False)
            self._asked_back.clear()
        return self._stream.ended

    def _hear(self, message: Msg) -> None:
        if self._stream.ended is None and not self._absent:
            if (message.headers or {}).get("Status") == "503":
                self._absent = f"nobody answers on {self._found.prompt}"
            elif (subject := self._stream.take(message.headers, message.data)) and len(
                self._asked_back
            ) <= QUERIES_MAX:
                self._asked_back.append(subject)
        self._news.set()

    def _lose(self) -> None:
        """Another link has taken over, and what is said to the one before comes to nobody."""
        self._lost = True
        self._news.set()

    async def _see_that_it_is_there(self) -> None:
        if not self._found.status:
            return
        try:
            said = await self._connection.request(self._found.status, b"", timeout_s=STATUS_S)
            instance = msgspec.json.decode(said.data, type=Status).instance_id
        except NoRespondersError:
            self._stream.fail("ended before it had answered")
            return
        except ConnectionLostError:
            raise
        except (RequestTimeoutError, msgspec.DecodeError, UnicodeDecodeError):
            return  # it stands still, and may go on; how long is waited is bounded elsewhere
        if self._found.instance and instance and instance != self._found.instance:
            self._stream.fail("was started anew before it had answered")

    async def close(self) -> None:
        """Listen no more."""
        await self._open.aclose()


def envelope(task: RunTask, attempt: int) -> bytes:
    """A prompt: the body as it is, and beside it what a program is told.

    Raises:
        UnicodeDecodeError: The body is no text.
    """
    told = msgspec.Raw(answers.request(task, attempt))
    return msgspec.json.encode({"prompt": task.body.decode(), "squall": told})


def name_of(info: Info) -> str:
    """What an agent says it is, as ``AGENT/OWNER/NAME``."""
    return "/".join(info.metadata.get(part, "") for part in ("agent", "owner", "session"))
