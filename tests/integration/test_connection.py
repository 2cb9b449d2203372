"""A connection outlives its links, and says at once what was denied or lost."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import time
from collections.abc import Awaitable
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from squall.bus import connection as connections
from squall.bus import link as links
from squall.bus import log
from squall.bus import wire as wires
from squall.bus.backoff import Backoff
from squall.bus.codec import encode
from squall.bus.connection import connect
from squall.bus.errors import (
    AuthorizationError,
    ConnectionLostError,
    ForbiddenError,
    InvalidNameError,
    MessageTooLargeError,
    NotConnectedError,
    RequestError,
)
from squall.bus.guard import seen
from squall.bus.jetstream import publish
from squall.bus.messages import Heartbeat, RunTask
from squall.bus.subjects import api
from squall.bus.tasks import wait_until

pytestmark = [pytest.mark.anyio, pytest.mark.nats]

LONG_S = 60.0


async def within(seconds: float, work: Awaitable[Any]) -> Any:
    async with asyncio.timeout(seconds):
        return await work


async def test_a_forbidden_request_fails_long_before_its_time_out(bus: Any) -> None:
    async with bus() as b, b.connect("producer") as producer:
        with pytest.raises(ForbiddenError, match="not allowed to reach"):
            await within(LONG_S / 4, producer.request(b.swarm.coordinator_seat.term, b"", timeout_s=LONG_S))


async def test_a_forbidden_publish_is_raised_at_the_call(bus: Any) -> None:
    async with bus() as b, b.connect("producer") as producer:
        with pytest.raises(ForbiddenError):
            await producer.publish(b.swarm.command("agent-1", "lead"), b"")


async def test_a_forbidden_subscription_is_raised_at_the_call(bus: Any) -> None:
    async with bus() as b, b.connect("producer") as producer:
        with pytest.raises(ForbiddenError):
            await producer.subscribe(b.swarm.heartbeats, lambda message: None)


async def test_nobody_at_the_address_is_said_at_once_and_in_one_sentence() -> None:
    """The client would look again and again until its time is over; pauses are the connection's."""
    began_s = time.monotonic()
    with pytest.raises(NotConnectedError, match=re.escape("no broker answers at nats://127.0.0.1:1")):
        async with connect("nats://127.0.0.1:1", "nobody"):
            pass
    assert time.monotonic() - began_s < wires.CONNECT_TIMEOUT_S / 2


async def test_credentials_of_another_operator_are_refused(bus: Any) -> None:
    from squall.bus.identity import Authority
    from squall.services.patterns import hierarchical

    async with bus() as b:
        stranger = Authority.create(hierarchical.topology(b.spec)).credentials("producer", 60)
        with pytest.raises(AuthorizationError):
            async with connect(b.broker.url, "producer", stranger):
                pass


async def test_a_call_in_flight_fails_as_indefinite_when_the_broker_dies(bus: Any) -> None:
    async with bus(alone=True) as b, b.connect("observer") as observer:
        os.kill(b.broker.pid, signal.SIGSTOP)  # so that the question stays unanswered
        asking = asyncio.ensure_future(
            observer.request(api("STREAM", "INFO", b.swarm.stream("IN")), b"", timeout_s=LONG_S)
        )
        await asyncio.sleep(0)
        os.kill(b.broker.pid, signal.SIGKILL)
        with pytest.raises(ConnectionLostError) as caught:
            await within(LONG_S / 4, asking)
        assert caught.value.definite is False


async def test_subscriptions_and_calls_come_back_after_a_broker_crash(bus: Any) -> None:
    async with bus(alone=True) as b, b.connect("observer") as observer, b.connect("producer") as producer:
        heard: asyncio.Queue[Msg] = asyncio.Queue()
        await observer.subscribe(b.swarm.heartbeats, heard.put_nowait)
        before = b.broker.pid
        os.kill(before, signal.SIGKILL)
        beat = encode(Heartbeat(role="producer", node="producer", incarnation=1))

        async def send() -> int:
            try:
                await producer.publish(b.swarm.heartbeat("producer", "producer"), beat)
            except RequestError:
                return 0
            return heard.qsize() if b.broker.pid != before else 0

        await wait_until(send, bool, timeout_s=30, what="a heartbeat over the new broker")
        assert observer.counters["reconnects"] >= 1


async def test_a_broker_that_stands_still_is_given_up_and_found_again(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wires, "ANSWER_S", 1.0)
    async with bus(alone=True) as b, b.connect("observer") as observer:
        os.kill(b.broker.pid, signal.SIGSTOP)
        try:

            async def asked() -> bool:
                try:
                    await log.state(observer, b.swarm.stream("IN"), timeout_s=LONG_S)
                except RequestError as error:
                    return "lost" in str(error) or "no connection" in str(error)
                return False

            await wait_until(asked, bool, timeout_s=30, what="the silent link to be given up")
        finally:
            os.kill(b.broker.pid, signal.SIGCONT)

        async def answered() -> bool:
            try:
                return bool(await log.state(observer, b.swarm.stream("IN")))
            except RequestError:
                return False

        await wait_until(answered, bool, timeout_s=30, what="an answer after it went on")


async def test_a_time_out_in_the_turn_of_the_answer_changes_nothing(bus: Any) -> None:
    """The loop may have both in hand: the answer is first, and the timer finds nobody who waits."""
    async with bus() as b, b.connect("observer") as observer:
        link = observer._link
        info = api("STREAM", "INFO", b.swarm.stream("IN"))
        asking = asyncio.ensure_future(observer.request(info, b"", timeout_s=LONG_S))
        while not link._calls:
            await asyncio.sleep(0)
        (token,) = link._calls
        assert (await asking).data
        link._give_up(token, LONG_S)
        assert not link._calls


async def test_a_link_that_the_client_closed_without_a_word_is_given_up_at_the_next_call(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "PROBE_INTERVAL_S", LONG_S)
    async with bus() as b, b.connect("observer") as observer:
        # What nats-py leaves when its transport raises while it closes: closed, and no callback called.
        observer._link.wire.client._status = Client.CLOSED
        with pytest.raises(ConnectionLostError):
            await log.state(observer, b.swarm.stream("IN"))

        async def answered() -> bool:
            try:
                return bool(await log.state(observer, b.swarm.stream("IN")))
            except RequestError:
                return False

        await wait_until(answered, bool, timeout_s=LONG_S / 4, what="an answer over another link")


async def test_what_a_handler_raises_ends_the_block(bus: Any) -> None:
    class HandlerError(Exception):
        pass

    def broken(message: Msg) -> None:
        raise HandlerError

    async with bus() as b, b.connect("producer") as producer:

        async def listen() -> None:
            async with b.connect("observer") as observer:
                await observer.subscribe(b.swarm.heartbeats, broken)
                beat = encode(Heartbeat(role="producer", node="producer", incarnation=1))
                await producer.publish(b.swarm.heartbeat("producer", "producer"), beat)
                await asyncio.Event().wait()

        with pytest.raises(HandlerError):
            await within(LONG_S, listen())


async def test_renewal_before_expiry_loses_no_call(bus: Any) -> None:
    """Three renewals of credentials that live four seconds, under a stream of submissions."""
    life_s = 4.0
    async with bus(ingress_max=100_000) as b, b.connect("producer", life_s) as producer:
        loop = asyncio.get_running_loop()
        renew_at = loop.time() + life_s / 2
        sent = renewals = 0
        while renewals < 4:
            if loop.time() >= renew_at:
                producer.renew(b.authority.credentials("producer", life_s))
                renewals += 1
                renew_at += life_s / 2
            task = RunTask(task=f"k-{sent}", key="k", job="j")
            outcome = await publish(
                producer, b.swarm.submit("k"), encode(task), timeout_s=10, message_id=task.task
            )
            assert (outcome.kind, outcome.tries) == ("stored", 1)
            sent += 1
        assert producer.counters["renewals"] >= 3
        assert producer.counters["reconnects"] == 0


@pytest.mark.parametrize("error", [ConnectionLostError, NotConnectedError, AuthorizationError])
async def test_a_renewal_that_fails_is_counted_and_costs_nothing(
    bus: Any, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    async with bus() as b, b.connect("producer") as producer:
        open_link = producer._open_link

        async def fails() -> links.Link:
            monkeypatch.setattr(producer, "_open_link", open_link)
            raise error("connect", "the broker is away")

        async def counted(name: str) -> int:
            return int(producer.counters[name])

        monkeypatch.setattr(producer, "_open_link", fails)
        for name in ("renewals_failed", "renewals"):
            producer.renew(b.authority.credentials("producer", 60))
            await wait_until(lambda name=name: counted(name), bool, timeout_s=LONG_S, what=name)
            task = RunTask(task=f"k-{name}", key="k", job="j")
            outcome = await publish(
                producer, b.swarm.submit("k"), encode(task), timeout_s=10, message_id=name
            )
            assert (outcome.kind, outcome.tries) == ("stored", 1)
        assert producer.counters["reconnects"] == 0


async def test_credentials_that_are_never_renewed_end_the_block(
    bus: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "AUTHORIZATION_PATIENCE_S", 1.0)
    async with bus() as b:
        with pytest.raises(AuthorizationError):
            async with b.connect("producer", 2.0):
                await within(LONG_S, asyncio.Event().wait())


async def test_messages_a_handler_cannot_keep_up_with_are_dropped_and_counted(bus: Any) -> None:
    async with bus() as b, b.connect("observer") as observer, b.connect("producer") as producer:
        seen = 0

        def count(message: Msg) -> None:
            nonlocal seen
            seen += 1

        await observer.subscribe(b.swarm.heartbeats, count, pending_max=1)
        beat = encode(Heartbeat(role="producer", node="producer", incarnation=1))
        subject = b.swarm.heartbeat("producer", "producer")
        await producer.publish(subject, beat)
        for _ in range(2000):
            await producer.publish(subject, beat, confirm=False)
        await producer.request(b.swarm.submit("k"), beat, timeout_s=10)

        async def all_counted() -> int:
            return seen + observer.counters["dropped"]

        await wait_until(all_counted, lambda n: n == 2001, timeout_s=20, what="every message to be counted")
        assert observer.counters["dropped"] > 0


async def test_what_was_let_go_is_there_whatever_becomes_of_its_sender(bus: Any) -> None:
    async with bus() as b, b.connect("observer") as observer, b.connect("producer") as producer:
        heard: list[str] = []
        subject = b.swarm.heartbeat("producer", "producer")
        await observer.subscribe(b.swarm.heartbeats, lambda message: heard.append(message.subject))
        beat = encode(Heartbeat(role="producer", node="producer", incarnation=1))
        await producer.publish(subject, beat)  # its first confirms that it may
        await producer.publish(subject, beat, confirm=False)
        await producer.let_go()
        link = producer._link
        assert link is not None
        writer: Any = link.wire.client._transport
        writer._io_writer.transport.abort()

        async def count() -> int:
            return len(heard)

        await wait_until(count, lambda n: n == 2, timeout_s=10, what="the second")


async def test_what_is_heard_apart_keeps_no_answer_waiting(bus: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that hears more than it can take answers its probes late; the one beside it does not."""
    async with bus() as b, b.connect("observer") as observer, observer.apart() as apart:
        heard = asyncio.Event()
        info = api("STREAM", "INFO", b.swarm.stream("IN"))
        await apart.subscribe(b.swarm.heartbeats, lambda message: heard.set())
        links_of = [each._link for each in (observer, apart)]
        assert all(links_of)
        transport = links_of[1].wire.client._transport
        reading = asyncio.Event()
        read = transport.read

        async def held(size: int) -> bytes:
            await reading.wait()
            return await read(size)

        monkeypatch.setattr(transport, "read", held)
        async with b.connect("producer") as producer:
            beat = encode(Heartbeat(role="producer", node="producer", incarnation=1))
            for _ in range(2):  # the first ends the read that was begun before
                await producer.publish(b.swarm.heartbeat("producer", "producer"), beat)
                await within(5.0, observer.request(info, b"", timeout_s=5.0))
        reading.set()
        await within(10.0, heard.wait())


async def test_a_renewal_is_one_of_what_is_apart_too(bus: Any) -> None:
    async with bus() as b, b.connect("observer") as observer, observer.apart() as apart:
        before = [each._link for each in (observer, apart)]
        observer.renew(b.authority.credentials("observer", LONG_S))

        async def renewed() -> bool:
            now = [each._link for each in (observer, apart)]
            return all(link is not old for link, old in zip(now, before, strict=True))

        await wait_until(renewed, bool, timeout_s=10, what="renewal of both")
        assert len({each.private_inbox for each in (observer, apart)}) == 2


async def test_a_forbidden_publish_to_a_stream_is_raised_and_not_repeated(bus: Any) -> None:
    async with bus() as b, b.connect("producer") as producer:
        with pytest.raises(ForbiddenError):
            await within(
                LONG_S / 4, publish(producer, b.swarm.coordinator_seat.snapshot, b"", timeout_s=LONG_S)
            )


INFO = (
    b'INFO {"server_id":"X","server_name":"x","version":"2.15.1","proto":1,"headers":true,'
    b'"max_payload":1048576,"host":"127.0.0.1","port":4222}\r\n'
)


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
async def test_a_broker_that_goes_between_a_probe_and_a_subscription_is_come_back_to(nth: int) -> None:
    """A server that ends the second link right after its nth answer, while subscriptions are restored."""
    links = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal links
        links += 1
        link, pings = links, 0
        writer.write(INFO)
        while line := await reader.readline():
            if line.startswith(b"PING"):
                pings += 1
                writer.write(b"PONG\r\n")
                # Eight: the first link has both subscriptions by then.
                if (link == 1 and pings == 8) or (link == 2 and pings == nth):
                    break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, connect(f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}", "n") as connection:
        await connection.subscribe("a.b", lambda message: None)
        await connection.subscribe("c.d", lambda message: None)

        async def reconnects() -> int:
            return connection.counters["reconnects"]

        await wait_until(reconnects, lambda count: count >= 1, timeout_s=LONG_S, what="a link that lasts")


async def test_a_subscription_that_was_denied_does_not_end_the_next_link(bus: Any) -> None:
    async with bus(alone=True) as b, b.connect("producer") as producer:
        with pytest.raises(ForbiddenError):
            await producer.subscribe(b.swarm.heartbeats, lambda message: None)
        os.kill(b.broker.pid, signal.SIGKILL)

        async def reconnects() -> int:
            return producer.counters["reconnects"]

        await wait_until(reconnects, lambda count: count == 1, timeout_s=LONG_S, what="the next link")


async def test_what_is_subscribed_while_a_link_is_renewed_is_heard_on_the_new_one(bus: Any) -> None:
    """Made at each step of the renewal, some subscriptions fall between its list and its end."""
    async with bus() as b, b.connect("observer") as observer, b.connect("producer") as producer:
        heard: asyncio.Queue[int] = asyncio.Queue()
        for number in range(6):
            observer.renew(b.authority.credentials("observer", 60))
            for step in range(4):
                await observer.subscribe(
                    b.swarm.heartbeats, lambda message, own=number * 4 + step: heard.put_nowait(own)
                )

            async def renewals() -> int:
                return observer.counters["renewals"]

            await wait_until(renewals, lambda count, n=number: count > n, timeout_s=LONG_S, what="a renewal")
            beat = encode(Heartbeat(role="producer", node="producer", incarnation=1))
            await producer.publish(b.swarm.heartbeat("producer", "producer"), beat)
            expected = set(range((number + 1) * 4))
            got = {await within(LONG_S, heard.get()) for _ in expected}
            assert got == expected
            while not heard.empty():
                heard.get_nowait()


@pytest.mark.parametrize("steps", range(0, 12, 2))
async def test_a_connection_that_ends_in_the_middle_of_a_renewal_leaves_no_link_open(
    bus: Any, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    made: list[links.Link] = []

    def link(*args: Any) -> links.Link:
        made.append(links.Link(*args))
        return made[-1]

    async with bus() as b:
        monkeypatch.setattr(connections, "Link", link)
        async with b.connect("producer") as producer:
            producer.renew(b.authority.credentials("producer", 60))
            for _ in range(steps):
                await asyncio.sleep(0)
        assert made
        assert all(one.lost.is_set() for one in made)


async def test_a_name_from_outside_never_becomes_a_command_to_the_broker(bus: Any) -> None:
    async with bus() as b, b.connect("producer") as producer:
        for subject in ("sw.squall.in.task.k 3\r\nabc\r\nPUB x", "a b", "a\tb", ""):
            with pytest.raises(InvalidNameError):
                await producer.publish(subject, b"")


def test_pauses_end_at_their_cap_however_often_it_was_tried() -> None:
    backoff = Backoff(0.025, 2.0, chance=random.Random(1))
    pauses = [backoff.pause_s() for _ in range(5000)]
    assert max(pauses) <= 2.0
    assert max(pauses[:3]) <= 0.2
    backoff.reset()
    assert backoff.pause_s() <= 0.05


@pytest.mark.parametrize("turns", range(5))
async def test_who_is_cancelled_as_the_link_is_lost_is_cancelled(bus: Any, turns: int) -> None:
    """A task that goes on after it was cancelled is waited for in vain: the node would never end."""
    async with bus(alone=True) as b, b.connect("producer") as producer:
        link = producer._link
        os.kill(b.broker.pid, signal.SIGSTOP)
        try:
            assert await seen(b.broker.pid, stopped=True)
            probing = asyncio.ensure_future(link.probe())
            before = len(link.wire.client._pongs)
            async with asyncio.timeout(LONG_S):
                while len(link.wire.client._pongs) == before:  # its PING will not be answered
                    await asyncio.sleep(0)
            link.lose("a test")
            for _ in range(turns):
                await asyncio.sleep(0)
            was_waiting = probing.cancel()
            await asyncio.wait({probing})
            assert probing.cancelled() is was_waiting
        finally:
            os.kill(b.broker.pid, signal.SIGCONT)


@pytest.mark.parametrize(
    "anyio_backend",
    [
        pytest.param(("asyncio", {"use_uvloop": False}), id="asyncio"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ],
)
async def test_a_transport_that_has_just_been_closed_is_a_lost_connection(bus: Any) -> None:
    async with bus() as b, b.connect("producer") as producer:
        link = producer._link
        link.wire.client._transport._io_writer.transport.abort()
        said = []
        for ask in (
            lambda: link.probe(),
            lambda: link.publish("sw.demo.hb.producer.producer", b"x" * 3_000_000, "", None),
            lambda: link.probe(),
        ):
            try:
                await ask()
            except (ConnectionLostError, MessageTooLargeError) as error:
                said.append(type(error))
        assert ConnectionLostError in said
        await within(30, producer.connected())
        await wait_until(lambda: _is_whole(producer), bool, timeout_s=30, what="another link")


async def _is_whole(connection: connections.Connection) -> bool:
    return connection._link is not None and not connection._link.lost.is_set()
