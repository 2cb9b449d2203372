"""What the warden rests on: who a message came from, by the broker's word, and a pool that is made anew."""

from __future__ import annotations

import json
from typing import Any

import pytest
from nats.aio.client import Client, RawCredentials
from nats.aio.msg import Msg
from tests.settle import settle

from squall.bus.codec import encode
from squall.bus.connection import connect
from squall.bus.identity import SYSTEM
from squall.bus.jetstream import call, publish_once
from squall.bus.messages import RunTask
from squall.bus.pull import parse_delivery
from squall.bus.subjects import POOL, acks, next_message
from squall.bus.tasks import wait_until
from squall.services.patterns import hierarchical
from squall.services.rules.conduct import Suspicion
from squall.services.run.warden import Warden

pytestmark = [pytest.mark.anyio, pytest.mark.nats]


async def nobody(suspicion: Suspicion) -> None:
    raise AssertionError(suspicion)


async def test_an_agent_cannot_be_heard_under_another_name(bus: Any) -> None:
    """Whatever stands in the header that the broker writes the sender's account into."""
    async with (
        bus(agents=2) as b,
        connect(b.broker.url, SYSTEM, b.authority.credentials(SYSTEM, None)) as system,
        b.connect("warden") as core,
    ):
        warden = Warden(
            b.spec,
            b.authority,
            system,
            core,
            starts=lambda: {"agent-1": 1, "agent-2": 1},
            pool=hierarchical.consumers(b.spec, b.authority.topology)[0],
            put_out=nobody,
        )
        heard: list[str | None] = []
        subject = acks(b.swarm.stream("WK"), POOL) + "1.1.1.1.1"
        await core.subscribe(subject, lambda message: heard.append(warden._sender(message)))

        had = b.authority.credentials("agent-1", None)
        client = Client()
        await client.connect(
            b.broker.url, user_credentials=RawCredentials(had.creds_file()), inbox_prefix=had.inbox
        )
        other = json.dumps({"acc": b.authority.account("agent-2")})
        forgeries = [
            f"Nats-Request-Info: {other}\r\n",
            f"Nats-Request-Info: {other}\r\nNats-Request-Info: {other}\r\n",
            f"Nats-Request-Info:{other}\r\n",
            f"nats-request-info: {other}\r\n",
            f"NATS-REQUEST-INFO: {other}\r\n",
            f" Nats-Request-Info: {other}\r\n",
            f"Nats-Request-Info : {other}\r\n",
            f"X: y\r\n Nats-Request-Info: {other}\r\n",
            f"X: y\rNats-Request-Info: {other}\r\n",
            f"X: y\nNats-Request-Info: {other}\r\n",
            f"Nats-Request-Info: {other}\r\nX: y\r\nNats-Request-Info: {other}\r\nNats-Request-Info: x\r\n",
        ]
        bodies = [(forgery, b"+WPI") for forgery in ["", *forgeries]] + [("", other.encode())]
        for forgery, body in bodies:
            header = f"NATS/1.0\r\n{forgery}\r\n".encode()
            await client._send_command(
                b"HPUB %s %d %d\r\n%s%s\r\n"
                % (subject.encode(), len(header), len(header) + len(body), header, body)
            )
        await settle(client)

        async def so_far() -> list[str | None]:
            return heard

        await wait_until(so_far, lambda h: len(h) == len(bodies), timeout_s=10, what="all of them")
        await client.close()
        assert heard == ["agent-1"] * len(heard)


async def test_a_pool_that_is_made_anew_gives_back_what_was_put_off_for_an_hour(bus: Any) -> None:
    async with (
        bus(agents=2) as b,
        b.connect("coordinator-1") as coordinator,
        b.connect("agent-1") as bad,
        b.connect("agent-2") as good,
        b.connect("warden") as core,
    ):
        wk = b.swarm.stream("WK")
        for number in range(8):
            task = RunTask(task=f"t{number}", key="k", job="j")
            await publish_once(coordinator, b.swarm.dispatch("j", "k", task.task), encode(task), timeout_s=5)
        got: dict[str, list[str]] = {"bad": [], "good": []}

        async def pull(agent: Any, name: str) -> None:
            def take(message: Msg) -> None:
                delivery = parse_delivery(message, acks(wk, POOL))
                if delivery is not None:
                    got[name].append(delivery.reply)

            await agent.subscribe("p", take, private=True)
            await agent.publish(
                next_message(wk, POOL),
                b'{"batch": 8, "expires": 5000000000}',
                reply=f"{agent.private_inbox}.p",
            )

        async def deliveries() -> dict[str, list[str]]:
            return got

        await pull(bad, "bad")
        await wait_until(deliveries, lambda g: len(g["bad"]) == 8, timeout_s=10, what="all tasks")
        for reply in got["bad"]:
            await bad.publish(reply, b'-NAK {"delay": 3600000000000}')
        for _ in range(2):  # done again, it does no harm
            await hierarchical.consumers(b.spec, b.authority.topology)[0].recreate(core)
        await pull(good, "good")
        await wait_until(deliveries, lambda g: len(g["good"]) == 8, timeout_s=10, what="all tasks again")
        for reply in got["good"]:
            await good.request(reply, b"+ACK", timeout_s=5)
        # What the one before still answers is of no pool that there is.
        for reply in got["bad"]:
            await bad.publish(reply, b"+ACK")
        assert (await call(core, "STREAM", "INFO", wk))["state"]["messages"] == 0


async def test_nobody_asks_the_pool_for_more_than_an_agent_has_slots(bus: Any) -> None:
    async with bus(agents=2, slots=4) as b, b.connect("agent-1") as agent:
        statuses: list[str | None] = []
        await agent.subscribe(
            "p", lambda message: statuses.append((message.headers or {}).get("Description")), private=True
        )
        for request in (b'{"batch": 5, "expires": 5000000000}', b'{"batch": 4, "expires": 6000000000}'):
            await agent.publish(
                next_message(b.swarm.stream("WK"), POOL), request, reply=f"{agent.private_inbox}.p"
            )

        async def so_far() -> list[str | None]:
            return statuses

        seen = await wait_until(so_far, lambda s: len(s) == 2, timeout_s=10, what="two refusals")
        assert all(text is not None and "Exceeded MaxRequest" in text for text in seen), seen
