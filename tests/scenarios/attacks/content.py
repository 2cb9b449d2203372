"""What a hijacked agent can *say*: registers, heartbeats, answers and marks, as no honest agent writes them.

A register is made from the task whose register it is, so that each can be tried twice: in the slot of a task
that nobody ever submitted, and in that of the task that the agent was given.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
from tests.settle import settle

from squall.bus.messages import Heartbeat, LeaderAccepted, RunTask, TaskResult, TaskTried
from squall.bus.subjects import POOL, Subjects

if TYPE_CHECKING:
    from tests.scenarios.attacks.hijack import Hijacked

S = Subjects("squall")
HALF_MIB = 512 * 1024
EXPECT_NEW = {"Nats-Expected-Last-Subject-Sequence": "0"}
ORDER = {"account": "evil", "symbol": "s", "n": 1, "side": "buy", "quantity": 1, "price": 1.0}

pack = msgspec.msgpack.encode
Make = Callable[[str], bytes]
"""From a task's name to what is written into its register."""


def record(task: str, **changes: Any) -> dict[str, Any]:
    """A register that would be in order, but for what is changed; fields that there are not included."""
    right = TaskResult(task=task, key="k", job="j", status="ok", agent="agent-1")
    return {**msgspec.to_builtins(right, builtin_types=(bytes,)), **changes}


def says(**changes: Any) -> Make:
    return lambda task: pack(record(task, **changes))


def nest(depth: int) -> bytes:
    """An array in an array in an array, in msgpack."""
    return b"\x91" * depth + b"\xc0"


def with_field(message: Any, value: bytes, name: bytes = b"\xa1z") -> bytes:
    """A message with one more field, whose value is given as msgpack."""
    data = pack(message)
    fields, rest = (
        (int.from_bytes(data[1:3], "big"), data[3:]) if data[0] == 0xDE else (data[0] & 15, data[1:])
    )
    return b"\xde" + (fields + 1).to_bytes(2, "big") + rest + name + value


def effects(*bodies: bytes) -> Make:
    return lambda task: pack(record(task, effects=bodies))


def order(**changes: Any) -> Make:
    return effects(json.dumps({**ORDER, **changes}).encode())


def dead(**changes: Any) -> Make:
    return says(status="dead", **changes)


def of_size(size: int) -> Make:
    """A dead register of exactly so many bytes."""

    def make(task: str) -> bytes:
        empty = pack(record(task, status="dead", body=b"x" * 70_000))
        return pack(record(task, status="dead", body=b"x" * (size - len(empty) + 70_000)))

    return make


def injected(commands: str) -> Make:
    """A job whose name ends the coordinator's HPUB, adds commands, and begins another."""
    return dead(job="x 12 12\r\nNATS/1.0\r\n\r\n\r\n" + commands + "HPUB sw.squall.job.y")


def array_of(count: int, name: bytes = b"\xa7effects") -> Make:
    """Says that an array has so many elements, which do not follow."""

    def make(task: str) -> bytes:
        data = pack(record(task))
        place = data.index(name) + len(name)
        return data[:place] + b"\xdd" + count.to_bytes(4, "big") + data[place + 1 :]

    return make


def raw_field(name: str, value: bytes) -> Make:
    """A register in which the last word on a field is this msgpack."""

    def make(task: str) -> bytes:
        return with_field(record(task), value, pack(name))

    return make


def old_effects(task: str) -> bytes:
    """Effects with ids, as they were written before ids were made from the task."""
    return pack(record(task, effects=[{"id": "a0001-sp500-999-0", "body": json.dumps(ORDER).encode()}]))


REGISTERS: dict[str, Make] = {
    "empty": lambda task: b"",
    "garbage": lambda task: b"\xc1garbage",
    "json": lambda task: json.dumps({"kind": "task-result", "task": task}).encode(),
    "zeros": lambda task: b"\0" * 10_000,
    "text that is no utf-8": raw_field("reason", b"\xa4\xff\xfe\xfd\xfc"),
    "another kind": lambda task: pack(Heartbeat(role="agent", node="agent-1", incarnation=1)),
    "a submission": lambda task: pack(RunTask(task=task, key="k", job="j")),
    "no kind": lambda task: pack({"task": task, "status": "ok"}),
    "a schema of the future": says(schema=2**31),
    "a negative schema": says(schema=-1),
    "cut in half": lambda task: pack(record(task, body=b"x" * 900))[:-500],
    "two in one": lambda task: pack(record(task)) * 2,
    "a field nested deep": lambda task: with_field(record(task), nest(200_000)),
    "the whole nested deep": lambda task: nest(500_000),
    "a known field nested deep": raw_field("effects", nest(200_000)),
    "maps nested deep": lambda task: with_field(record(task), b"\x81\xa1k" * 100_000 + b"\xc0"),
    "an extension": lambda task: with_field(record(task), b"\xc9\x00\x00\x00\x04\x7fxxxx"),
    "an array of four thousand millions": array_of(2**32 - 1),
    "a status that there is not": raw_field("status", b"\xa5great"),
    "a number where a text belongs": raw_field("task", b"\x07"),
    "attempts without end": says(attempt=2**64 - 1, number=2**64 - 1, term=2**64 - 1),
    "a negative attempt": raw_field("attempt", b"\xff"),
    "times that are none": says(submit_s=float("nan"), deadline_s=float("inf")),
    "a lane that is none": says(lane="*"),
    "a lane of another's": says(lane="99"),
    "written in another's name": says(agent="agent-2"),
    "ok with a reason and a body": says(reason="x" * 5000, body=b"x" * 5000),
    # Names that were never checked where they were believed.
    "dead, a task with a space": lambda task: pack(record("Bad Name!", status="dead")),
    "dead, a task of 200 characters": lambda task: pack(record("x" * 200, status="dead")),
    "dead, a task of 256 characters": lambda task: pack(record("x" * 256, status="dead")),
    "dead, another's task": lambda task: pack(record("a0001-sp500-1", status="dead")),
    "dead, a job with spaces": dead(job="a b c d e"),
    "dead, a job with empty tokens": dead(job="a..b"),
    "dead, a job of wildcards": dead(job="*.>"),
    "dead, a job of 256 characters": dead(job="j" * 256),
    "dead, a job with a line's end": dead(job="a\r\nb"),
    "dead, a job that ends like a stream": dead(job="$JS.API.STREAM.DELETE.SQUALL_RES"),
    "dead, a job with a null": dead(job="a\0b"),
    "dead, a job with terminal sequences": dead(job="\x1b[2J\x1b[H", reason="\x1b]0;x\x07" * 1000),
    "dead, another job": dead(job="momentum"),
    "ok, another job": says(job="momentum"),
    "ok, a job of wildcards": says(job="*.>"),
    "cancelled": says(status="cancelled"),
    "dead, a key with spaces": dead(key="a b"),
    "dead, with effects": dead(effects=(json.dumps(ORDER).encode(),)),
    "dead, a command to another": injected("PUB sw.squall.cmd.agent-2.lead 5\r\nhello\r\n"),
    "dead, a task for the queue": injected("PUB sw.squall.job.j.task.k.evil 5\r\nhello\r\n"),
    "dead, a term": injected("PUB sw.squall.job.term 1\r\nx\r\n"),
    "dead, a purge": injected("PUB $JS.API.STREAM.PURGE.SQUALL_JOB 0\r\n\r\n"),
    "dead, a stream deleted by a deputy": injected(
        "PUB $JS.API.CONSUMER.MSG.NEXT.SQUALL_RES.gateway $JS.API.STREAM.DELETE.SQUALL_RES 26\r\n"
        '{"batch":1,"no_wait":true}\r\n'
    ),
    # Sizes.
    "dead, one byte short of half a MiB": of_size(HALF_MIB - 1),
    "dead, half a MiB": of_size(HALF_MIB),
    "dead, more than half a MiB": of_size(600_000),
    "dead, all that the broker takes": of_size(1_000_000),
    "dead, a reason of half a MiB": dead(reason="x" * (HALF_MIB - 400)),
    "ok, all that the broker takes": says(value=b"x" * 1_000_000),
    # Effects.
    "an effect that is no JSON": effects(b"{oops"),
    "an empty effect": effects(b""),
    "an effect that is half": effects(json.dumps(ORDER).encode()[:-1]),
    "effects that are scalars": effects(b"1", b"null", b'"x"', b"[]", b"-0.0"),
    "an effect nested 100,000 deep": effects(b"[" * 100_000 + b"]" * 100_000),
    "an effect nested 900 deep": effects(b'{"account":' * 900 + b"1" + b"}" * 900),
    "an order put in by its neighbour": effects(
        json.dumps(ORDER).encode() + b'},{"order_id":"injected-0","order":' + json.dumps(ORDER).encode()
    ),
    "an effect that ends the list": effects(json.dumps(ORDER).encode() + b'}],[{"order_id":"injected-1"}'),
    "a quantity of 2^63": order(quantity=2**63),
    "a quantity of 2^64 - 1": order(quantity=2**64 - 1),
    "a quantity of 10^70": order(quantity=10**70),
    "a negative quantity": order(quantity=-1),
    "a quantity with a fraction": order(quantity=0.5),
    "a number in its key of 2^63": order(n=2**63),
    "a number in its key of -2^63 - 1": order(n=-(2**63) - 1),
    "a price without end": effects(
        b'{"account":"a","symbol":"s","n":1,"side":"buy","quantity":1,"price":1e400}'
    ),
    "a price that is no number": effects(
        b'{"account":"a","symbol":"s","n":1,"side":"buy","quantity":1,"price":NaN}'
    ),
    "an account that is half a character": effects(
        b'{"account":"\\ud800","symbol":"s","n":1,"side":"buy","quantity":1,"price":1}'
    ),
    "an account that is no utf-8": effects(
        b'{"account":"\xff\xfe","symbol":"s","n":1,"side":"buy","quantity":1,"price":1}'
    ),
    "an account with a null": order(account="a\0b"),
    "an account of 400,000 characters": order(account="a" * 400_000),
    "an account that is a program": order(
        account="<script>alert(1)</script>\x1b[2J", symbol="'; DROP TABLE fills"
    ),
    "a field twice": effects(json.dumps(ORDER).encode()[:-1] + b',"quantity":7}'),
    "one effect of a million bytes": effects(b'"' + b"x" * 900_000 + b'"'),
    "256 effects": effects(*[b"1"] * 256),
    "16 effects": effects(*[b"1"] * 16),
    "256 orders": effects(*[json.dumps(ORDER).encode()] * 256),
    "257 effects": effects(*[b"1"] * 257),
    "150,000 effects": effects(*[b"1"] * 150_000),
    "a million effects": effects(*[b""] * 999_000),
    "effects with ids of their own": old_effects,
}

HEARTBEATS: dict[str, bytes] = {
    "garbage": b"\xc1",
    "nothing": b"",
    "nested deep": with_field(Heartbeat(role="agent", node="agent-1", incarnation=1), nest(200_000)),
    "slots beyond any": pack(Heartbeat(role="agent", node="agent-1", incarnation=1, slots=2**64 - 1)),
    "slots of 2^63": pack(Heartbeat(role="agent", node="agent-1", incarnation=1, slots=2**63)),
    "no slots": pack(Heartbeat(role="agent", node="agent-1", incarnation=1, slots=0)),
    "another's name": pack(Heartbeat(role="coordinator", node="coordinator-1", incarnation=9, slots=0)),
    "another role": pack(Heartbeat(role="agent", node="agent-2", incarnation=1, slots=0)),
    "an incarnation without end": pack(Heartbeat(role="agent", node="agent-1", incarnation=2**64 - 1)),
    "counters without end": pack(
        Heartbeat(role="agent", node="agent-1", incarnation=1, counters={f"c{n}": n for n in range(40_000)})
    ),
    "counters with terminal sequences": pack(
        Heartbeat(role="agent", node="agent-1", incarnation=1, counters={"\x1b[2J\r\n": 1, "violations": -5})
    ),
    "times that are none": pack(
        Heartbeat(role="agent", node="agent-1", incarnation=1, service_ms=float("nan"))
    ),
    "a megabyte": pack(Heartbeat(role="agent", node="agent-1", incarnation=1, counters={"x" * 900_000: 1})),
}

ANSWERS: dict[str, bytes] = {
    "garbage": b"\xc1",
    "nested deep": with_field(LeaderAccepted(node="agent-1", term=1), nest(200_000)),
    "a term and slots without end": pack(LeaderAccepted(node="agent-1", term=2**64 - 1, slots=2**64 - 1)),
    "another's name": pack(LeaderAccepted(node="agent-2", term=1, slots=0)),
    "another kind": pack(record("own-x")),
}

MARKS: dict[str, bytes] = {
    "garbage": b"\xc1garbage",
    "nothing": b"",
    "another kind": pack(record("own-x")),
    "nested deep": with_field(TaskTried(attempts=1), nest(200_000)),
    "deaths without end": pack(TaskTried(attempts=1, deaths=2**64 - 1)),
    "attempts without end": pack(TaskTried(attempts=2**64 - 1, deaths=0)),
    "attempts used up": pack(TaskTried(attempts=99)),
    "no attempts": pack(TaskTried(attempts=0, running=False)),
    "more than a mark needs": pack(TaskTried(attempts=1, write="x" * 3000)),
    "far more than a mark needs": b"x" * 1_000_000,
}


def lane_of(key: str) -> str:
    """The lane of a key, as the broker computes it: FNV-1a."""
    hashed = 0x811C9DC5
    for byte in key.encode():
        hashed = (hashed ^ byte) * 0x01000193 & 0xFFFFFFFF
    return str(hashed % 100)


async def write(me: Hijacked, subject: str, data: bytes) -> str:
    """Write something where it is the first of its subject; the broker's answer."""
    async with me.client() as client:
        return await _write(client, subject, data)


async def _write(client: Any, subject: str, data: bytes) -> str:
    try:
        answer = await client.request(subject, data, timeout=5, headers=EXPECT_NEW)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return str(answer.data[:300].decode(errors="replace"))


async def spoil(me: Hijacked, name: str, slot: str) -> dict[str, str]:
    """Write a register of this kind for a task that there is not, and for the one the agent is given next."""
    said: list[str] = []

    async def before_it_returns(task: Any) -> None:
        said.append(await write(me, S.register(lane_of(task.key), task.id), REGISTERS[name](task.id)))

    async with me.client() as client:
        said.append(await _write(client, S.register("0", slot), REGISTERS[name](slot)))
    given = await asyncio.wrap_future(me.spoil_next(before_it_returns))
    return {"task": given, "answers": " | ".join(said)}


async def spoil_at(me: Hijacked, subject: str) -> str:
    """Write a register to a subject that is no task's."""
    return await write(me, subject, pack(record("own-x")))


async def beat(me: Hijacked, data: bytes, times: int) -> None:
    async with me.client() as client:
        for _ in range(times):
            await client.publish(f"sw.squall.hb.agent.{me.node}", data)
            await settle(client)


async def reply(me: Hijacked, data: bytes, times: int) -> None:
    async with me.client() as client:
        for _ in range(times):
            await client.publish(f"sw.squall.rep.{me.node}.x", data)
            await settle(client)


async def mark(me: Hijacked, data: bytes, tasks: int) -> list[str]:
    """Mark tasks that were pulled, and give them back for others to run."""
    async with me.client() as client:
        held = await me.grab(client, tasks)
        for message in held:
            *_, lane, _, _, task = message.subject.split(".")
            await _write(client, S.tried(POOL, lane, task), data)
        for message in held:
            await client.publish(message.reply, b"-NAK")
        await settle(client)
        return [message.subject.rsplit(".", 1)[1] for message in held]


async def many_registers(me: Hijacked, name: str, count: int, prefix: str) -> int:
    """A record of one kind in the slots of many tasks that there are not; how many."""
    data = REGISTERS[name]
    async with me.client() as client:
        for number in range(count):
            register = data(f"{prefix}-{number}")
            if len(register) > client.max_payload:
                return number  # no client sends it, and the broker takes none of it
            await client.publish(S.register(str(number % 100), f"{prefix}-{number}"), register)
            if number % 200 == 0:
                await settle(client)
        await settle(client)
    return count


async def spoil_many(me: Hijacked, name: str, tasks: int, acknowledge: bool) -> list[str]:
    """Pull tasks and write such a record for each, or (an empty name) acknowledge without any; which."""
    spoiled = []
    async with me.client() as client:
        while len(spoiled) < tasks:
            for message in await me.grab(client, min(48, tasks - len(spoiled))):
                *_, lane, _, _, task = message.subject.split(".")
                if name:
                    await client.publish(S.register(lane, task), REGISTERS[name](task), headers=EXPECT_NEW)
                if acknowledge:
                    await client.publish(message.reply, b"+ACK")
                spoiled.append(task)
            await settle(client)
    return spoiled
