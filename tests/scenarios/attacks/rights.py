"""What a hijacked agent can do with a client and the bare protocol: subjects, replies, headers, tokens."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

import nkeys
from nats.errors import Error as NatsError
from tests.integration import test_attacks as tables
from tests.settle import settle

from squall.bus.codec import encode
from squall.bus.messages import TaskResult, TaskTried
from squall.bus.subjects import POOL, Subjects, matches

if TYPE_CHECKING:
    from tests.scenarios.attacks.hijack import Hijacked

S = Subjects("squall")
CORE = "A" + "A" * 55

HEADERS: dict[str, dict[str, str]] = {
    "a message id": {"Nats-Msg-Id": "a0001-sp500-1"},
    "another stream expected": {"Nats-Expected-Stream": "SQUALL_JOB"},
    "a last sequence expected": {"Nats-Expected-Last-Sequence": "0"},
    "a last id expected": {"Nats-Expected-Last-Msg-Id": "x"},
    "another subject expected": {
        "Nats-Expected-Last-Subject-Sequence": "0",
        "Nats-Expected-Last-Subject-Sequence-Subject": "sw.squall.job.term",
    },
    "a sequence that is none": {"Nats-Expected-Last-Subject-Sequence": "x"},
    "a batch": {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1"},
    "a batch that ends": {"Nats-Batch-Id": "b", "Nats-Batch-Sequence": "1", "Nats-Batch-Commit": "1"},
    "a batch of the wrong place": {"Nats-Batch-Id": "c", "Nats-Batch-Sequence": "999999"},
    "a schedule": {
        "Nats-Schedule": "@at 2020-01-01T00:00:00Z",
        "Nats-Schedule-Target": "sw.squall.job.term",
    },
    "a schedule without end": {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "sw.squall.res.0.own-s"},
    "a schedule from another": {
        "Nats-Schedule": "@every 1s",
        "Nats-Schedule-Target": "sw.squall.cmd.agent-2.lead",
        "Nats-Schedule-Source": "sw.squall.job.term",
    },
    "a life of a second": {"Nats-TTL": "1s"},
    "a life without end": {"Nats-TTL": "never"},
    "a rollup of the subject": {"Nats-Rollup": "sub"},
    "a rollup of the stream": {"Nats-Rollup": "all"},
    "a marker": {"Nats-Marker-Reason": "Purge"},
    "an increment": {"Nats-Incr": "+1"},
    "an operation": {"KV-Operation": "PURGE"},
    "a stream of origin": {
        "Nats-Stream": "SQUALL_JOB",
        "Nats-Sequence": "1",
        "Nats-Subject": "sw.squall.job.term",
    },
    "a source": {"Nats-Stream-Source": "SQUALL_JOB 1 > > sw.squall.job.term"},
    "who asks": {"Nats-Request-Info": '{"acc":"CORE"}', "Client-Info": '{"acc":"CORE"}'},
    "a status": {"Status": "503", "Description": "No Responders"},
    "an end of the batch": {"Status": "404", "Nats-Pending-Messages": "-5"},
    "an API level": {"Nats-Required-Api-Level": "999"},
    "a thousand": {f"X-{n}": "x" * 100 for n in range(1000)},
    "one of 900,000 bytes": {"X": "x" * 900_000},
}

MARKED = ("a status", "an end of the batch", "a stream of origin", "a thousand")
"""Headers of marks, which those who deliver a task again read beside the broker's own."""

WORDS: dict[str, bytes] = {
    "a record like no responders": b"HPUB sw.squall.res.0.own-503 16 17\r\nNATS/1.0 503\r\n\r\nx\r\n",
    "a record that looks like no consumer": b"HPUB sw.squall.res.0.own-409 33 33\r\n"
    b"NATS/1.0 409 Consumer Deleted\r\n\r\n\r\n",
    "a record that looks like a heartbeat": b"HPUB sw.squall.res.0.own-100 31 31\r\n"
    b"NATS/1.0 100 Idle Heartbeat\r\n\r\n\r\n",
    "garbage": b"\xff\xfe\x00garbage\r\n",
    "a control line of 20,000": b"PUB " + b"a" * 20_000 + b" 1\r\nx\r\n",
    "a payload over the bound": b"PUB sw.squall.res.0.own-big 2000000\r\n" + b"x" * 2_000_000 + b"\r\n",
    "a size that is not sent": b"PUB sw.squall.res.0.own-h 1000000\r\nx",
    "a size of a thousand millions": b"HPUB sw.squall.res.0.own-h 999999999 999999999\r\n",
    "a negative size": b"PUB sw.squall.res.0.own-h -1\r\n",
    "headers longer than all": b"HPUB sw.squall.res.0.own-h 20 10\r\nNATS/1.0\r\n\r\n\r\n",
    "headers that are none": b"HPUB sw.squall.res.0.own-h 12 12\r\nNATS/9.9\r\n\r\n\r\n",
    "the same subscription ten times": b"SUB _INBOX.agent-1.x 1\r\n" * 10,
    "a subscription in a queue": b"SUB sw.squall.res.*.* gateway 1\r\n",
    "a subscription to everything": b"SUB > 1\r\n",
    "another account": b'CONNECT {"account":"CORE","new_account":true}\r\nPING\r\n',
    "a second greeting": b'CONNECT {"verbose":true,"pedantic":true}\r\nPING\r\n',
    "a route's words": b"RS+ CORE sw.squall.job.term\r\nA+ CORE\r\nRMSG CORE sw.squall.job.term 1\r\nx\r\n",
    "a leaf's words": b"LS+ sw.squall.job.term\r\nLMSG sw.squall.job.term 1\r\nx\r\n",
    "a gateway's words": b"GS+ x\r\nGMSG x 1\r\nx\r\n",
    "a server's words": b"INFO {}\r\nMSG sw.squall.job.term 1 1\r\nx\r\n+OK\r\n-ERR 'x'\r\n",
    "a subject with a null": b"PUB sw.squall.job\0.term 1\r\nx\r\n",
    "a subject with tabs": b"PUB\tsw.squall.job.term\t1\r\nx\r\n",
    "two subjects": b"PUB sw.squall.res.0.own-t sw.squall.job.term x 1\r\nx\r\n",
    "small letters": b"pub sw.squall.job.term 1\r\nx\r\n",
    "one byte at a time": b"P",
    "a poll": b"GET /jsz HTTP/1.1\r\nHost: x\r\n\r\n",
}


async def publish_forbidden(me: Hijacked) -> dict[str, str]:
    """Publish to all that is forbidden; what the broker did not refuse."""
    errors: list[str] = []
    let_through = {}
    async with me.client(errors) as client:
        for subject in tables.FORBIDDEN_PUBLISHES:
            errors.clear()
            answer = ""
            with contextlib.suppress(NatsError):
                answer = str((await client.request(subject, b"{}", timeout=0.05)).data[:100])
            await settle(client)
            if answer or not any(subject.lower() in error for error in errors):
                let_through[subject] = answer
    return let_through


async def listen_to_forbidden(me: Hijacked, seconds: float) -> dict[str, int]:
    """Subscribe to all that is forbidden; what was heard."""
    heard: dict[str, int] = {}
    async with me.client() as client:
        for subject in tables.FORBIDDEN_SUBSCRIPTIONS:

            async def take(message: Any, subject: str = subject) -> None:
                heard[subject] = heard.get(subject, 0) + 1

            await client.subscribe(subject, cb=take)
        await settle(client)
        await asyncio.sleep(seconds)
    return heard


async def aim(me: Hijacked, carrier: str) -> int:
    """Have the broker's answers to what is allowed go to where this agent may not publish."""
    carry = getattr(tables, carrier)
    aimed = 0
    async with me.client() as client:
        for number, target in enumerate(tables.TARGETS.values(), 1):
            if carry in tables.TRACES and (matches(S.registers, target) or matches(S.tries, target)):
                continue
            with contextlib.suppress(NatsError):
                await carry(client, target, 1000 * list(tables.CARRIERS).index(carry) + number)
            await settle(client)
            aimed += 1
    return aimed


async def with_headers(me: Hijacked, name: str, slot: str) -> list[str]:
    """A register, a mark, a heartbeat and an answer with these headers; what the broker said."""
    headers = HEADERS[name]
    result = encode(TaskResult(task=slot, key="k", job="j", status="ok"))
    said = []
    async with me.client() as client:
        for subject, data in (
            (S.register("0", slot), result),
            (S.tried(POOL, "0", slot), encode(TaskTried(attempts=1))),
        ):
            try:
                answer = await client.request(subject, data, timeout=1, headers=headers)
                said.append(answer.data[:200].decode())
            except NatsError as error:
                said.append(type(error).__name__)
        for subject in (f"sw.squall.hb.agent.{me.node}", f"sw.squall.rep.{me.node}.x"):
            with contextlib.suppress(NatsError):
                await client.publish(subject, b"x", headers=headers)
        with contextlib.suppress(NatsError):
            await settle(client)
    return said


async def mark_with_headers(me: Hijacked, name: str, tasks: int) -> list[str]:
    """Mark tasks that were pulled with these headers, and give them back; which."""
    async with me.client() as client:
        held = await me.grab(client, tasks)
        for message in held:
            *_, lane, _, _, task = message.subject.split(".")
            data = encode(TaskTried(attempts=1))
            await client.publish(S.tried(POOL, lane, task), data, headers=HEADERS[name])
        await settle(client)
        for message in held:
            await client.publish(message.reply, b"-NAK")
        await settle(client)
        return [message.subject.rsplit(".", 1)[1] for message in held]


async def say(me: Hijacked, name: str) -> str:
    """Say words on a bare connection; what was answered."""

    def work() -> str:
        bare = me.raw(timeout_s=2)
        answer = b""
        with contextlib.closing(bare), contextlib.suppress(OSError):
            bare.sendall(WORDS[name])
            bare.settimeout(0.2)
            while more := bare.recv(4096):
                answer += more
        return answer[:300].decode(errors="replace")

    return await asyncio.to_thread(work)


async def forge(me: Hijacked) -> list[str]:
    """Connect with tokens that the authority did not sign; which of them were let in."""
    me.look_around()
    head, body, signature = me.jwt.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    own = nkeys.from_seed(bytearray(me.seed.encode()))
    stranger = nkeys.encode_seed(b"\x07" * 32, nkeys.PREFIX_BYTE_USER).decode()

    def base(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    def token(said: dict[str, Any], algorithm: str = "ed25519-nkey", *, signed: bool = True) -> str:
        text = (
            f"{base(json.dumps({'typ': 'JWT', 'alg': algorithm}).encode())}.{base(json.dumps(said).encode())}"
        )
        return f"{text}.{base(own.sign(text.encode())) if signed else ''}"

    facts = claims["nats"]
    forged = {
        "no algorithm": token(claims, "none", signed=False),
        "signed by itself": token(claims),
        "its own issuer": token({**claims, "iss": claims["sub"]}),
        "another name, the old signature": ".".join(
            (head, base(json.dumps({**claims, "name": "agent-2"}).encode()), signature)
        ),
        "another account": token({**claims, "nats": {**facts, "issuer_account": CORE}}),
        "rights of its own": token(
            {**claims, "nats": {**facts, "pub": {"allow": [">"]}, "sub": {"allow": [">"]}}}
        ),
        "a bearer": token({**claims, "nats": {**facts, "bearer_token": True}}),
        "an operator": token({**claims, "nats": {"type": "operator", "version": 2}}),
        "no end": token({k: v for k, v in claims.items() if k != "exp"}),
        "no signature": f"{head}.{body}.",
        "nothing": "",
        "dots": "..",
        "a megabyte": "x" * 10_000,
    }
    let_in = []
    me.look_around()
    right = (me.jwt, me.seed)
    for name, jwt in [*forged.items(), ("another's seed", right[0])]:
        other = _Forged(me, jwt, stranger if name == "another's seed" else right[1])
        try:
            async with other.client(connect_timeout=1) as client:
                await client.flush(timeout=1)
                let_in.append(name)
        except Exception:
            continue
    return let_in


class _Forged:
    """The agent with another token."""

    def __init__(self, me: Hijacked, jwt: str, seed: str) -> None:
        self._me = type(me)(me.node, me.url, jwt, seed, me.inbox)
        self._me.look_around = lambda: None  # type: ignore[method-assign]

    def client(self, **options: Any) -> Any:
        return self._me.client(**options)


async def outlive(me: Hijacked, seconds: float) -> float:
    """Keep a connection busy; for how many seconds it was of use."""
    begin = time.monotonic()
    async with me.client() as client:
        while time.monotonic() - begin < seconds:
            await client.publish(f"sw.squall.hb.agent.{me.node}", b"x")
            await client.flush(timeout=1)
            await asyncio.sleep(0.05)
    return time.monotonic() - begin
