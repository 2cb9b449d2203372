"""Responders and agents on a broker of the user's: what one says, or not, is an outcome, in a sentence."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg
from tests.integration.brokers import outside
from tests.integration.responders import (
    AGENT,
    LATE_S,
    SUBJECT,
    Peer,
    Reply,
    chunk,
    good,
    hosting,
    responding,
    silent,
    whole,
)
from tests.settle import settle
from tests.unit.ported import AGAIN, DONE, FINAL, is_as_said, opened, task

from squall.bus.broker import Broker
from squall.bus.ended import Done, Ended, Failed, NotThere
from squall.bus.tasks import wait_until
from squall.services.errors import SpecError
from squall.services.handlers import agent_protocol
from squall.services.handlers.answers import ANSWER_BYTES_MAX
from squall.services.handlers.kinds import load
from squall.services.handlers.port import Handling, Port

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

TIMEOUT_S = 2.0
"""Of what hangs, and of what is late."""

LATE = f"the handler did not answer within {TIMEOUT_S:g} s"
MUCH = f"the handler answered with more than {ANSWER_BYTES_MAX:,} bytes, the most there may be"


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    async with outside(tmp_path / "broker", "max_payload: 4MB\n") as broker:
        yield broker


def handling(name: str, broker: Broker, **more: Any) -> Handling:
    return Handling(name=name, server=broker.url, **more)


def says(*replies: bytes, headers: dict[str, str] | None = None) -> Reply:
    """Replies so, and no more."""

    async def reply(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
        for each in replies:
            await peer.client.publish(message.reply, each, headers=headers)

    return reply


def error(code: str, body: bytes = b"") -> Reply:
    return says(body, headers={"Nats-Service-Error-Code": code, "Nats-Service-Error": "no price"})


async def twice(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    await message.respond(good(asked))
    await message.respond(b'{"effects": [{"n": 99}]}')


async def partial(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    await message.respond(good(asked)[:-5])


async def late(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    await asyncio.sleep(LATE_S)
    await message.respond(good(asked))


async def slow(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    await asyncio.sleep(TIMEOUT_S / 4)
    await message.respond(good(asked))


RESPONDERS: dict[str, tuple[Reply, str, str]] = {
    "garbage": (says(b"I can help"), AGAIN, "the handler answered with what is not JSON: 'I can help'"),
    "empty": (says(b""), AGAIN, "the handler answered with what is not JSON: ''"),
    "stored": (says(b'{"stream": "S", "seq": 1}'), AGAIN, "has the field 'stream', which no answer has"),
    "partial": (partial, AGAIN, "the handler answered with what is not JSON"),
    "twice": (twice, DONE, ""),
    "another": (says(b'{"id": "t-other"}'), AGAIN, "answered task 't-other' when it had been given 't-1'"),
    "fails": (says(b'{"error": "no price"}'), AGAIN, "the handler answered with the error no price"),
    "gives_up": (says(b'{"error": "gone", "final": true}'), FINAL, "the handler gave it up: gone"),
    "much": (says(b'"' + b"x" * 2_000_000 + b'"'), FINAL, MUCH),
    "400": (error("400"), FINAL, "the handler gave it up: it answered 400 Bad Request: 'no price'"),
    "404": (error("404"), FINAL, "the handler answered 404 Not Found: 'no price'"),
    "409": (error("409"), AGAIN, "the handler answered 409 Conflict: 'no price'"),
    "500": (error("500"), AGAIN, "the handler answered 500 Internal Server Error: 'no price'"),
    "odd": (error("\x1b[31m"), AGAIN, "the handler answered with the error"),
    "hangs": (silent, AGAIN, LATE),
    "late": (late, AGAIN, LATE),
    "slow": (slow, DONE, ""),
}


async def stopped(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    """A polite stop in the middle: what there is so far, and an end like any other."""
    await message.respond(chunk("response", good(asked).decode()[:-5]))
    await message.respond(b"")


async def again(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    await whole(peer, asked, message)
    await whole(peer, {**asked, "number": 99}, message)


async def echoing(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    """Its end has headers, as nats-py's `respond` sends those of the request again."""
    await message.respond(chunk("response", good(asked).decode()))
    await peer.client.publish(message.reply, b"", headers={"X-Trace": "1"})


async def asking_back(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    inbox = peer.client.new_inbox()
    heard = await peer.client.subscribe(inbox, max_msgs=1)
    query = {"id": "q", "reply_subject": inbox, "prompt": "May I?"}
    await message.respond(chunk("query", query))
    peer.asked_back.append(json.loads((await heard.next_msg(timeout=5)).data))
    await whole(peer, asked, message)


async def asking_elsewhere(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    """It names a subject that is no inbox, and would have us write there."""
    heard = await peer.client.subscribe("orders.new")
    await message.respond(chunk("query", {"id": "q", "reply_subject": "orders.new", "prompt": "May I?"}))
    await settle(peer.client)
    await whole(peer, asked, message)
    peer.asked_back.append(heard.pending_msgs)


async def slow_agent(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    await asyncio.sleep(TIMEOUT_S / 4)
    await whole(peer, asked, message)


async def late_agent(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    await asyncio.sleep(LATE_S)
    await whole(peer, asked, message)


async def dying(peer: Peer, asked: dict[str, Any], message: Msg) -> None:
    """Its process ends, so that nobody answers for it any more."""
    await message.respond(chunk("response", good(asked).decode()[:10]))
    await settle(peer.client)
    for each in peer.client._subs.copy().values():
        if each.subject.startswith("agents.status"):
            await each.unsubscribe()


AGENTS: dict[str, tuple[Reply, str, str]] = {
    "garbage": (says(b"hello"), AGAIN, "the handler answered with what is no part of an answer: 'hello'"),
    "prose": (says(chunk("response", "Buy!"), b""), AGAIN, "answered with what is not JSON: 'Buy!'"),
    "wordless": (says(chunk("response", {"text": 3})), AGAIN, "is a part without text"),
    "nothing": (says(b""), AGAIN, "the handler ended its answer and had said nothing"),
    "stopped": (stopped, AGAIN, "the handler answered with what is not JSON"),
    "twice": (again, DONE, ""),
    "echoing": (echoing, DONE, ""),
    "asking_back": (asking_back, DONE, ""),
    "asking_elsewhere": (asking_elsewhere, DONE, ""),
    "much": (says(*[chunk("response", "x" * 200_000)] * 10), FINAL, MUCH),
    "404": (error("404"), FINAL, "the handler answered 404 Not Found: 'no price'"),
    "429": (error("429", b'{"retry_after_s": 7}'), AGAIN, "the handler answered 429 Too Many Requests"),
    "hangs": (silent, AGAIN, LATE),
    "late": (late_agent, AGAIN, LATE),
    "dies": (dying, AGAIN, "the handler ended before it had answered"),
    "slow": (slow_agent, DONE, ""),
}


async def outcomes(port: Port) -> tuple[Ended, list[Ended]]:
    """What comes of a bad task, of two at the same time, and of one after it."""
    ended, *others = await asyncio.gather(
        port.run(task(), 1), *(port.run(task(f"t-{n}", bad=False), 1) for n in (2, 3))
    )
    return ended, [*others, await port.run(task("t-4", bad=False), 1)]


@pytest.mark.parametrize("how", RESPONDERS)
async def test_what_a_responder_does_is_an_outcome_of_its_own_task(broker: Broker, how: str) -> None:
    reply, end, sentence = RESPONDERS[how]
    timeout_s = TIMEOUT_S if how in ("hangs", "late") else 20.0
    async with (
        responding(broker.url, reply),
        opened(handling(f"nats:{SUBJECT}", broker), timeout_s=timeout_s) as port,
    ):
        ended, others = await outcomes(port)
    is_as_said(ended, others, end, sentence)


@pytest.mark.parametrize("how", AGENTS)
async def test_what_an_agent_does_is_an_outcome_of_its_own_task(
    broker: Broker, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_protocol, "SILENCE_S", 0.3)
    reply, end, sentence = AGENTS[how]
    timeout_s = TIMEOUT_S if how in ("hangs", "late") else 20.0
    async with (
        hosting(broker.url, reply) as peer,
        opened(handling(f"agent:{AGENT}", broker), timeout_s=timeout_s) as port,
    ):
        ended, others = await outcomes(port)
    is_as_said(ended, others, end, sentence)
    if how == "429":
        assert isinstance(ended, Failed)
        assert ended.after_s == 7.0
    if how.startswith("asking"):
        assert peer.asked_back == [{"prompt": "no"} if how == "asking_back" else 0]


async def test_a_prompt_is_the_body_and_beside_it_what_a_program_is_told(broker: Broker) -> None:
    async with hosting(broker.url, whole) as peer, opened(handling(f"agent:{AGENT}", broker)) as port:
        await port.run(task(body=b'{"a": 1}'), 2)
        assert isinstance(unreadable := await port.run(task(body=b"\xff"), 1), Failed)
    assert [each["prompt"] for each in peer.asked] == ['{"a": 1}']
    told = peer.asked[0]["squall"]
    assert (told["id"], told["number"], told["attempt"], told["body"]) == ("t-1", 7, 2, {"a": 1})
    assert unreadable.final


@pytest.mark.parametrize("kind", ["nats", "agent"])
async def test_nobody_there_is_no_attempt_until_somebody_is(
    broker: Broker, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_protocol, "FIND_S", 0.2)
    name = f"nats:{SUBJECT}" if kind == "nats" else f"agent:{AGENT}"
    there = responding if kind == "nats" else hosting
    async with opened(handling(name, broker)) as port:
        for _ in range(2):
            ended = await port.run(task(bad=False), 1)
            assert isinstance(ended, NotThere), ended
            assert port.health == f"it is not there: {ended.reason}"
            async with there(broker.url, silent):
                assert isinstance(await port.run(task(bad=False), 1), Done)
            assert port.health == ""


async def test_an_agent_of_another_protocol_is_not_spoken_to(broker: Broker) -> None:
    async with (
        hosting(broker.url, silent, version="0.4") as peer,
        opened(handling(f"agent:{AGENT}", broker)) as port,
    ):
        ended = await port.run(task(bad=False), 1)
    assert isinstance(ended, NotThere)
    assert ended.reason == f"{AGENT} speaks the agent protocol 0.4, and 0.3 is spoken here"
    assert peer.asked == []


async def test_an_agent_that_was_started_anew_has_forgotten_what_it_was_asked(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_protocol, "SILENCE_S", 0.3)
    async with opened(handling(f"agent:{AGENT}", broker)) as port, contextlib.AsyncExitStack() as first:
        peer = await first.enter_async_context(hosting(broker.url, silent))
        asking = asyncio.create_task(port.run(task(), 1))
        await wait_until(lambda: seen(peer), bool, timeout_s=5, what="a prompt")
        await first.aclose()
        async with hosting(broker.url, silent, instance="I2"):
            ended = await asking
    assert isinstance(ended, Failed)
    assert ended.reason == "the handler was started anew before it had answered"


async def seen(peer: Peer) -> int:
    return len(peer.asked)


async def test_who_is_late_keeps_its_slots_until_it_has_ended(broker: Broker) -> None:
    """Four slots, all abandoned while the agent works on; it never has more than four in hand."""
    async with (
        hosting(broker.url, late_agent) as peer,
        opened(handling(f"agent:{AGENT}", broker), timeout_s=TIMEOUT_S) as port,
    ):
        ended = await asyncio.gather(*(port.run(task(f"t-{n}"), 1) for n in range(4)))
        assert [each.reason for each in ended if isinstance(each, Failed)] == [LATE] * 4
        assert isinstance(await port.run(task("t-9", bad=False), 1), Done)
    assert (len(peer.asked), peer.most) == (5, 4)


async def test_a_broker_that_is_killed_in_the_middle_is_an_attempt_that_may_have_been(
    tmp_path: Path,
) -> None:
    async with outside(tmp_path / "broker") as broker:
        for name, there in ((f"nats:{SUBJECT}", responding), (f"agent:{AGENT}", hosting)):
            async with opened(handling(name, broker)) as port, there(broker.url, silent) as peer:
                asking = asyncio.create_task(port.run(task(), 1))
                await wait_until(lambda peer=peer: seen(peer), bool, timeout_s=5, what="a question")  # type: ignore[misc]
                broker.signal(9)
                ended = await asking
            assert isinstance(ended, Failed), ended
            assert not ended.final
            assert "the connection was lost before it had answered" in ended.reason
            await wait_until(lambda: is_up(broker), bool, timeout_s=20, what="the broker again")


async def is_up(broker: Broker) -> bool:
    with contextlib.suppress(OSError):
        host, port = broker.url.removeprefix("nats://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        return True
    return False


async def test_text_is_a_value_without_effects(broker: Broker) -> None:
    """As a responder answers that the documentation of nats-py shows."""
    parts = says(chunk("response", "I can"), chunk("response", " help"), b"")
    for name, there in (
        (f"nats:{SUBJECT}", responding(broker.url, says(b"I can help"))),
        (f"agent:{AGENT}", hosting(broker.url, parts)),
    ):
        async with there, opened(handling(name, broker, answer="text")) as port:
            assert await port.run(task(), 1) == Done((), b'"I can help"')


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("nats:", {}, "names nothing"),
        ("nats:a.>", {}, "names no subject"),
        ("nats:a b", {}, "names no subject"),
        ("nats:a", {}, "it is not said where the broker of the handler nats:a is"),
        ("nats:a", {"server": "nats://me:secret@127.0.0.1"}, "credentials do not belong in a URL"),
        ("nats:a", {"server": "http://127.0.0.1"}, "is no NATS URL"),
        ("nats:a", {"server": "nats://x.example", "credentials": "C"}, "in clear text"),
        ("nats:a", {"server": "nats://127.0.0.1", "credentials": "NO_SUCH"}, "is not set"),
        ("nats:a", {"server": "nats://127.0.0.1", "headers": {"A": "B"}}, "headers are of no use"),
        ("agent:a/b", {"server": "nats://127.0.0.1"}, "names no agent"),
        ("agent:a/b/c d", {"server": "nats://127.0.0.1"}, "names no agent"),
        ("agent:a/b/c", {}, "it is not said where the broker"),
        ("exec:sh", {"answer": "text"}, "answer is of no use"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    name: str, more: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NATS_URL", raising=False)
    with pytest.raises(SpecError) as raised:
        load(Handling(name=name, **more))
    assert said in str(raised.value)
    assert "secret" not in f"{raised.value} {raised.value.remedy}"
    assert raised.value.remedy
