"""Gateway: carries the effects of winning registers to the venue, and holds nothing it could lose.

    registers ──pull──► batch ──HTTP──► venue
        ▲                                 │ answer
        └────────────── ack ◄─────────────┘

An acknowledgement follows the venue's answer, so whatever dies in between, the
record is delivered again and the venue refuses the repeat.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import httpx
import msgspec

from squall.bus.codec import decode
from squall.bus.errors import DecodeError, RequestError
from squall.bus.messages import TaskResult
from squall.bus.pull import Delivery, Puller
from squall.bus.subjects import GATEWAY, last_token
from squall.bus.tasks import task_group
from squall.services.handlers import effect_id
from squall.services.service import Service

log = logging.getLogger("squall")

BATCH_MAX = 256
HELD_MAX = 1024
VENUE_TIMEOUT_S = 5.0
VENUE_PAUSE_S = 0.2


class _Answer(msgspec.Struct):
    order_id: str
    outcome: str
    reason: str = ""


_answers = msgspec.json.Decoder(list[_Answer])


async def serve(service: Service) -> None:
    """Forward until asked to stop."""
    waiting: asyncio.Queue[Delivery] = asyncio.Queue()
    held: dict[str, Delivery] = {}

    def take(delivery: Delivery) -> None:
        held[delivery.reply] = delivery
        waiting.put_nowait(delivery)

    service.vitals = lambda: {"in_flight": len(held), "slots": HELD_MAX}
    puller = Puller(
        service.connection,
        service.swarm.stream("RES"),
        GATEWAY,
        take,
        lambda: HELD_MAX - len(held),
        chunk=BATCH_MAX // 2,
    )
    limits = httpx.Limits(max_connections=2)
    async with (
        httpx.AsyncClient(
            base_url=service.start.venue, timeout=VENUE_TIMEOUT_S, limits=limits, trust_env=False
        ) as venue,
        task_group() as tasks,
    ):
        pulling = tasks.daemon(puller.run())
        tasks.daemon(_keep_alive(service, held))
        forwarding = tasks.daemon(_forward(service, venue, waiting, held, puller))
        service.ready()
        await service.stop.wait()
        pulling.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(VENUE_TIMEOUT_S):
                while held:
                    await asyncio.sleep(0.01)
        forwarding.cancel()


async def _forward(
    service: Service,
    venue: httpx.AsyncClient,
    waiting: asyncio.Queue[Delivery],
    held: dict[str, Delivery],
    puller: Puller,
) -> None:
    while True:
        batch = [await waiting.get()]
        while len(batch) < BATCH_MAX and not waiting.empty():
            batch.append(waiting.get_nowait())
        orders = [order for delivery in batch for order in _orders(service, delivery)]
        service.at("gateway.delivered")
        if orders:
            await _send(service, venue, orders)
        service.at("gateway.filled")
        for delivery in batch:
            with contextlib.suppress(RequestError):  # lost: it comes again, and the venue knows it
                await service.connection.publish(delivery.reply, b"+ACK", confirm=False)
            held.pop(delivery.reply, None)
        service.at("gateway.acknowledged")
        puller.wake()


def _orders(service: Service, delivery: Delivery) -> list[dict[str, object]]:
    try:
        result = decode(delivery.data, TaskResult)
    except DecodeError as error:
        log.warning("register %s ignored: %s", delivery.subject, error)
        service.counters["unreadable"] += 1
        return []
    task = last_token(delivery.subject)
    return [{"order_id": order_id, "order": msgspec.Raw(body)} for order_id, body in orders_of(task, result)]


def orders_of(task: str, result: TaskResult) -> list[tuple[str, bytes]]:
    """The ids and bodies of what the register of a task intends."""
    return [(effect_id(task, index), body) for index, body in enumerate(result.effects)]


async def _send(service: Service, venue: httpx.AsyncClient, orders: list[dict[str, object]]) -> None:
    """Send orders until the venue has answered; it refuses what it has filled before."""
    for start in range(0, len(orders), BATCH_MAX):
        content = msgspec.json.encode(orders[start : start + BATCH_MAX])
        while True:
            try:
                response = await venue.post("/orders", content=content)
                response.raise_for_status()
                answers = _answers.decode(response.content)
                break
            except (httpx.HTTPError, msgspec.DecodeError) as error:
                log.warning("venue did not take %d orders: %s", len(orders), error)
                service.counters["venue_errors"] += 1
                await asyncio.sleep(VENUE_PAUSE_S)
        outcomes = [answer.outcome for answer in answers]
        facts = {kind: outcomes.count(kind) for kind in ("filled", "duplicate", "rejected")}
        service.counters.update(facts)
        service.history("deliver", "ok", orders=len(outcomes), **facts)


async def _keep_alive(service: Service, held: dict[str, Delivery]) -> None:
    """Tell the broker three times an ack wait that what is held is worked on."""
    while True:
        await asyncio.sleep(service.spec.ack_wait_s / 3)
        with contextlib.suppress(RequestError):
            for reply in list(held):
                await service.connection.publish(reply, b"+WPI", confirm=False)
