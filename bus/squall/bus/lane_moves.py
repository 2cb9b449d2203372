"""Move the lanes of a work queue to where a route says: look, take the steps that `lanes` names, look again.

The broker fences no administration, so whoever moves lanes asks before each step whether it still may. Two
that move by different routes do no harm but to each other's patience: no step gives a lane to a second owner,
and the later route is what the reconciler of whoever leads comes back to.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any

from squall.bus.connection import Connection
from squall.bus.errors import RejectedError
from squall.bus.jetstream import CONSUMER_EXISTS, CONSUMER_MISSING, CONSUMER_NOT_FOUND, FILTERS_OVERLAP, call
from squall.bus.lanes import (
    ALL,
    Clear,
    Drains,
    Holder,
    LaneQueue,
    Make,
    Remove,
    Route,
    Shrink,
    Stamp,
    Step,
    is_settled,
    steps,
)
from squall.bus.log import seconds

EPOCH, LEFT = "squall-epoch", "squall-left"
"""Keys of a consumer's metadata: the route's epoch, and the lanes that it gave up, with commas between."""

LOOK_S = 0.05
"""How often it is looked whether what is waited for has come."""

CALL_S = 2.0
"""How long the broker may take to answer one request."""

PAUSE_OFF_S = 0.1
"""By how much a pause may seem to end at another time than it was told to."""


async def look(connection: Connection, queue: LaneQueue) -> list[Holder]:
    """Who has which lanes, from the broker's own configurations.

    Raises:
        RequestError: The broker refuses, or does not answer.
    """
    found: list[Holder] = []
    while True:
        request = {"offset": len(found)}
        answer = await call(connection, "CONSUMER", "LIST", queue.stream, request=request, timeout_s=CALL_S)
        listed = answer["consumers"]
        found += [_holder(queue, info) for info in listed]
        if not listed or len(found) >= answer["total"]:
            return found


def _holder(queue: LaneQueue, info: Mapping[str, Any]) -> Holder:
    config = info["config"]
    single = config.get("filter_subject")
    metadata = config.get("metadata") or {}
    epoch = metadata.get(EPOCH, "")
    return Holder(
        name=info["name"],
        lanes=queue.lanes([single] if single else config.get("filter_subjects") or ()),
        epoch=int(epoch) if epoch.isdecimal() and len(epoch) < 20 else 0,
        left=ALL & {*metadata.get(LEFT, "").split(",")},
        delivered=info["delivered"]["stream_seq"],
        floor=info["ack_floor"]["stream_seq"],
        pending=info["num_ack_pending"],
    )


async def take(connection: Connection, queue: LaneQueue, step: Step, epoch: int) -> bool:
    """Take one step. Taken again, it changes nothing more.

    Returns:
        Whether it was taken; what another has done meanwhile may have made it impossible, as a look shows.

    Raises:
        RequestError: The broker refuses for another reason, or does not answer.
    """
    try:
        match step:
            case Shrink(name=name, lanes=lanes, left=left) | Clear(name=name, lanes=lanes, left=left):
                await _configure(connection, queue, name, lanes, left, epoch, "update")
            case Stamp(name=name, lanes=lanes):
                await _configure(connection, queue, name, lanes, (), epoch, "update")
            case Make(name=name, lanes=lanes):
                await _delete(connection, queue, name)
                await _configure(connection, queue, name, lanes, (), epoch, "create")
            case Remove(name=name):
                await _delete(connection, queue, name)
    except RejectedError as error:
        if error.code not in (CONSUMER_EXISTS, CONSUMER_MISSING, FILTERS_OVERLAP):
            raise
        return False
    return True


def configured(
    queue: LaneQueue, name: str, lanes: Collection[str], left: Iterable[str], epoch: int
) -> dict[str, Any]:
    """The configuration of a consumer with these lanes, as JetStream takes it, without its name."""
    return {
        **queue.config,
        "durable_name": name,
        "filter_subjects": queue.filters(name, lanes),
        "metadata": {EPOCH: str(epoch), LEFT: ",".join(sorted(left, key=int))},
    }


async def _configure(
    connection: Connection,
    queue: LaneQueue,
    name: str,
    lanes: Collection[str],
    left: Iterable[str],
    epoch: int,
    action: str,
) -> None:
    config = {"name": name, **configured(queue, name, lanes, left, epoch)}
    if action == "create" and (until_s := queue.paused_until_s()):
        config["pause_until"] = _rfc3339(until_s)
    request = {"stream_name": queue.stream, "config": config, "action": action}
    await call(connection, "CONSUMER", "CREATE", queue.stream, name, request=request, timeout_s=CALL_S)


async def _delete(connection: Connection, queue: LaneQueue, name: str) -> None:
    try:
        await call(connection, "CONSUMER", "DELETE", queue.stream, name, timeout_s=CALL_S)
    except RejectedError as error:
        if error.code != CONSUMER_NOT_FOUND:
            raise


async def pause(connection: Connection, queue: LaneQueue, until_s: float) -> int:
    """Have consumers deliver nothing until a time, which the broker keeps. Done again, it changes nothing.

    Args:
        until_s: In seconds since the epoch, by the broker's clock.

    Returns:
        How many were not paused so long already.

    Raises:
        RequestError: The broker refuses, or does not answer.
    """
    changed, offset = 0, 0
    while True:
        request = {"offset": offset}
        answer = await call(connection, "CONSUMER", "LIST", queue.stream, request=request, timeout_s=CALL_S)
        for info in answer["consumers"]:
            now_s = seconds(info["ts"])
            ends_s = now_s + info.get("pause_remaining", 0) / 1e9
            if until_s > now_s and abs(ends_s - until_s) > PAUSE_OFF_S:
                body = {"pause_until": _rfc3339(until_s)}
                name = info["name"]
                try:
                    await call(
                        connection, "CONSUMER", "PAUSE", queue.stream, name, request=body, timeout_s=CALL_S
                    )
                    changed += 1
                except RejectedError as error:  # somebody makes it anew, with the pause
                    if error.code != CONSUMER_NOT_FOUND:
                        raise
        offset += len(answer["consumers"])
        if not answer["consumers"] or offset >= answer["total"]:
            return changed


def _rfc3339(at_s: float) -> str:
    at = datetime.datetime.fromtimestamp(at_s, datetime.UTC)
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")


async def settle(
    connection: Connection,
    queue: LaneQueue,
    route: Route,
    *,
    patience_s: float,
    gone: Collection[str] = (),
    may_act: Callable[[], bool] = lambda: True,
    taken: Callable[[Step], Awaitable[None]] | None = None,
) -> bool:
    """Have every lane be where a route says, however far somebody has come with it before.

    Args:
        patience_s: How long one that gave up lanes is waited for; see `lanes.Drains`.
        gone: Consumers that nobody pulls from any more, who are not waited for.
        may_act: Asked at each look and before each step; once it says no, this ends.
        taken: Told of each step that was taken.

    Returns:
        Whether all is settled; False if it might not go on.

    Raises:
        RequestError: The broker refuses, or does not answer; done again, it does no harm.
    """
    loop = asyncio.get_running_loop()
    drains = Drains(patience_s)
    while True:
        holders = await look(connection, queue)
        if is_settled(route, holders):
            return True
        if not may_act():
            return False
        moved = False
        for step in steps(route, holders, {*gone} | drains.observe(holders, loop.time())):
            if not may_act():
                return False
            if await take(connection, queue, step, route.epoch):
                moved = True
                if taken is not None:
                    await taken(step)
        if not moved:
            await asyncio.sleep(LOOK_S)
