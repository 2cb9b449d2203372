"""What each operation of a differential test does."""

from __future__ import annotations

import json
import time
from abc import abstractmethod
from typing import Any

from tests.model import layout
from tests.model.operations import (
    ANSWERS,
    Answer,
    Ask,
    Batch,
    Change,
    Direct,
    Fetch,
    Get,
    List,
    Listen,
    Look,
    Misconfigure,
    Oldest,
    Operation,
    Pause,
    Publish,
    Pull,
    Purge,
    Read,
    Remake,
    Unhear,
    Wait,
)

from squall.chaos.model.broker import Broker
from squall.chaos.model.frames import Headers, Msg, Pub, Sub, ToBroker, Unsub
from squall.chaos.model.stamps import rfc3339

S = 10**9

PLAIN = ("plain.a", "plain.a.b", "plain.b.c", "plain.c", "plain.a.d")
LISTENED = ("plain.>", "plain.*", "plain.a.*", "*.b.c", "plain.a.b")


class Acting:
    """Carries operations out on both sides; see `differential.Run`."""

    prefix: str
    durable: bool
    published: tuple[str, ...]
    broker: Broker
    model: Any
    real: Any
    session: Any
    wire: Any

    @property
    def streams(self) -> tuple[str, ...]:
        return (*self.published, *layout.SOURCED)

    @abstractmethod
    def now(self) -> float: ...

    @abstractmethod
    async def until(self, when: float) -> None: ...

    @abstractmethod
    async def settle(self) -> None: ...

    @abstractmethod
    async def keep_clear(self) -> None: ...

    @abstractmethod
    async def compare_beats(self) -> None: ...

    @abstractmethod
    async def see_state(self, stream: str, name: str) -> None: ...

    @abstractmethod
    def both(self, frame: ToBroker) -> None: ...

    @abstractmethod
    async def ask(
        self, subject: str, body: Any = b"", headers: Headers = None, *, wakes: bool = False
    ) -> Msg | None: ...

    def begin_acting(self) -> None:
        self.is_steady = True
        self._pulls: list[tuple[int, str, str]] = []
        self._listening: dict[int, int] = {}
        self._batches = 0
        self._ids: dict[tuple[str, str], float] = {}

    def soft_dues(self, now: float) -> list[float]:
        """When message ids are forgotten, which no timer of the model tells."""
        windows = {"IN": 1.5, "QUE": 1.5}
        dues = []
        for name, window_s in windows.items():
            stream = self.broker.jetstream.streams.get(f"{self.prefix}{name}")
            for _, since in stream._ids.values() if stream else ():
                if since + window_s > now - 0.2:
                    dues.append(since + window_s)
        return dues

    async def act(self, operation: Operation) -> None:
        """Carry one out, wait until both have said what they have to say, and compare."""
        match operation:
            case Look():
                await self.look()
            case Wait(tenths):
                await self.until(self.now() + tenths / 10)
                await self.keep_clear()
                await self.compare_beats()
            case Publish():
                await self._publish(operation)
            case Batch():
                self.is_steady = False
                await self._batch(operation)
            case Get():
                await self._get(operation)
            case Direct(subject):
                stream = ("TRY", "OLD", "RES")[subject % 3]
                wanted = layout.subjects(self.prefix, stream)[subject]
                await self.ask(f"$JS.API.DIRECT.GET.{self.prefix}{stream}.{wanted}")
            case Fetch(where, seq, batch, bytes_max):
                name = f"{self.prefix}{('JOB', 'OLD', 'IN', 'TRY', 'RES')[where]}"
                start = max(1, self.broker.jetstream.streams[name].first + seq - 2)
                request = {"seq": start, "batch": batch, "max_bytes": bytes_max}
                given = {field: value for field, value in request.items() if value}
                await self.ask(f"$JS.API.DIRECT.GET.{name}", given)
            case Purge():
                await self._purge(operation)
            case Pull():
                await self._pull(*layout.CONSUMERS[operation.consumer], operation)
            case Unhear(pick):
                if self._pulls:
                    number, stream, name = self._pulls[pick % len(self._pulls)]
                    self.both(Unsub(number))
                    await self.see_state(stream, name)
            case Answer():
                await self._answer(operation)
            case Read():
                await self._read(operation)
            case Remake(which):
                stream, name = layout.CONSUMERS[which]
                await self.ask(f"$JS.API.CONSUMER.DELETE.{self.prefix}{stream}.{name}")
                await self.ask(*layout.consumer(self.prefix, which))
            case Change(which, filters, pending, metadata, action):
                subject, request = layout.changed(self.prefix, which, filters, pending, metadata)
                name = f"spoke-{which + 1}"
                await self.ask(subject, {**request, **({"action": action} if action else {})}, wakes=True)
                await self.see_state("QUE", name)
                await self.keep_clear()
                await self.ask(f"$JS.API.CONSUMER.INFO.{self.prefix}QUE.{name}")
            case List(where):
                await self.ask(f"$JS.API.CONSUMER.LIST.{self.prefix}{(*self.streams, 'NONE')[where]}")
            case Oldest():
                await self._oldest(operation)
            case Misconfigure(which):
                await self.ask(*layout.misconfigured(self.prefix, which))
            case Ask(which):
                await self._ask_nobody(which)
            case Listen(pattern, subject):
                await self._listen(pattern, subject)
            case Pause(which, tenths):
                await self._pause(which, tenths)
        await self.settle()
        self.is_steady = True

    async def look(self) -> None:
        """Compare all that the brokers tell of their state."""
        for stream in self.streams:
            await self.keep_clear()
            wanted = {"subjects_filter": f"{self.prefix}.>"} if stream in ("JOB", "OLD", "RES") else b""
            await self.ask(f"$JS.API.STREAM.INFO.{self.prefix}{stream}", wanted)
        for stream, name in layout.CONSUMERS:
            await self.keep_clear()
            await self.ask(f"$JS.API.CONSUMER.INFO.{self.prefix}{stream}.{name}")

    def _newest(self, stream: str, subject: str) -> int:
        return self.broker.jetstream.streams[f"{self.prefix}{stream}"].last_on(subject)

    def _expected(self, expected: int, newest: int) -> int | None:
        return (None, 0, newest, max(0, newest - 1))[expected]

    async def _publish(self, wanted: Publish) -> None:
        stream = self.published[wanted.where % len(self.published)]
        subject = layout.subjects(self.prefix, stream)[wanted.subject]
        headers = {"Trace": f"t{wanted.size}"} if wanted.size % 3 == 0 else {}
        on = f"{self.prefix}.job.term" if wanted.fence else subject
        if wanted.fence and wanted.size % 2:  # the newest of all that falls under a pattern
            on = layout.patterns(self.prefix, stream)[wanted.subject % 4]
        expected = self._expected(wanted.expected, self._newest(stream, on))
        if expected is not None:
            headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
        if wanted.fence:
            headers["Nats-Expected-Last-Subject-Sequence-Subject"] = on
        last = self._expected(wanted.last, self.broker.jetstream.streams[f"{self.prefix}{stream}"].last)
        if last is not None:
            headers["Nats-Expected-Last-Sequence"] = str(last)
        if wanted.message_id:
            headers["Nats-Msg-Id"] = f"m{wanted.message_id}"
        if wanted.size == 7:
            headers["Nats-Stream-Source"] = "some other"
        await self.ask(subject, b"x" * wanted.size, headers or None)

    async def _batch(self, wanted: Batch) -> None:
        self._batches += 1
        where = layout.batched(self.prefix)
        stream = "RES" if wanted.flaw == "elsewhere" else "JOB"
        name = f"b{self._batches}"
        # Whether who reads hears of a message that a later one of the batch replaces is a matter of time; so
        # a subject comes again only where the batch is refused for it.
        entries: list[tuple[int, int]] = []
        for subject_at, expects in wanted.entries:
            again = any(subject_at == earlier for earlier, _ in entries)
            if not again or (expects and wanted.flaw != "twice"):
                entries.append((subject_at, expects))
        for number, (subject_at, expects) in enumerate(entries, 1):
            last = number == len(entries)
            subject = where[subject_at] if stream == "JOB" else f"{self.prefix}.res.1.t{subject_at}"
            headers = {"Nats-Batch-Id": name, "Nats-Batch-Sequence": str(number)}
            if wanted.flaw == "gap" and last:
                headers["Nats-Batch-Sequence"] = str(number + 1)
            if wanted.flaw == "unnumbered" and last:
                del headers["Nats-Batch-Sequence"]
            if number == 1 and wanted.fence:
                term = f"{self.prefix}.job.term"
                headers["Nats-Expected-Last-Subject-Sequence-Subject"] = term
                fence = self._expected(wanted.fence, self._newest(stream, term))
                headers["Nats-Expected-Last-Subject-Sequence"] = str(fence)
            elif wanted.flaw != "twice":
                expected = self._expected(expects, self._newest(stream, subject))
                if expected is not None:
                    headers["Nats-Expected-Last-Subject-Sequence"] = str(expected)
            if wanted.flaw in ("same id", "known id"):
                headers["Nats-Msg-Id"] = "same" if wanted.flaw == "same id" else f"{self._batches}-{number}"
            if last and wanted.flaw != "uncommitted":
                headers["Nats-Batch-Commit"] = "2" if wanted.flaw == "odd commit" else "1"
                if wanted.flaw == "twice":
                    headers["Nats-Expected-Last-Sequence"] = str(
                        self.broker.jetstream.streams[f"{self.prefix}{stream}"].last + number - 1
                    )
            data = b"y" * (3 * subject_at + number)
            if last or number % 3 == 0:
                await self.ask(subject, data, headers)
            else:
                self.both(Pub(subject, "", headers, data))

    async def _get(self, wanted: Get) -> None:
        stream = self.streams[wanted.where % len(self.streams)]
        known = [*layout.subjects(self.prefix, stream), *layout.patterns(self.prefix, stream)]
        by_subject = {"last_by_subj": known[(wanted.subject + wanted.seq) % len(known)]}
        request = {"seq": wanted.seq} if wanted.seq and wanted.subject < 2 else by_subject
        await self.ask(f"$JS.API.STREAM.MSG.GET.{self.prefix}{stream}", request)

    async def _oldest(self, wanted: Oldest) -> None:
        stream = self.streams[wanted.where % len(self.streams)]
        pattern = layout.patterns(self.prefix, stream)[wanted.pattern]
        request: dict[str, Any] = {"next_by_subj": pattern, **({"seq": wanted.seq} if wanted.seq else {})}
        verb = "DIRECT.GET" if wanted.direct else "STREAM.MSG.GET"
        await self.ask(f"$JS.API.{verb}.{self.prefix}{stream}", request)

    async def _purge(self, wanted: Purge) -> None:
        stream = self.published[wanted.where % len(self.published)]
        request: dict[str, Any] = {}
        if wanted.below:
            request["seq"] = wanted.below
        if wanted.pattern:
            request["filter"] = layout.patterns(self.prefix, stream)[wanted.pattern]
        if wanted.keep:
            request["keep"] = wanted.keep
        await self.ask(f"$JS.API.STREAM.PURGE.{self.prefix}{stream}", request or b"")

    async def _pull(self, stream: str, name: str, wanted: Pull) -> None:
        number = 100 + len(self._pulls)
        inbox = f"_INBOX.{self.prefix}.p.{number}"
        self._pulls.append((number, stream, name))
        request: dict[str, Any] = {"batch": wanted.batch}
        if wanted.expires:
            request["expires"] = wanted.expires * S // 10
        if wanted.heartbeat:
            request["idle_heartbeat"] = 3 * S // 10
        if wanted.no_wait:
            request["no_wait"] = True
            if stream != "OLD":  # a batch may be stored, or copied, while it is being answered
                request.pop("expires", None)
                request.pop("idle_heartbeat", None)
        if wanted.bytes_max:
            request["max_bytes"] = wanted.bytes_max
        self.both(Sub(number, inbox))
        data = json.dumps(request).encode()
        if wanted.batch == 1 and not wanted.heartbeat and not wanted.no_wait:
            data = b""
        self.both(Pub(f"$JS.API.CONSUMER.MSG.NEXT.{self.prefix}{stream}.{name}", inbox, None, data))
        await self.see_state(stream, name)

    async def _answer(self, wanted: Answer) -> None:
        """Acknowledge the same delivery on both sides, whose replies differ in the time that is in them."""
        places = [
            (key, place)
            for key, messages in self.model.heard.items()
            if key.startswith("inbox")
            for place, message in enumerate(messages)
            if message.reply.startswith("$JS.ACK.") and (wanted.pick == 9 or ".reader-" not in message.reply)
        ]
        if not places:
            return
        key, place = places[-1 - wanted.pick % len(places)]
        body = ANSWERS[wanted.kind]
        reply = ""
        if wanted.confirmed:
            self._asked += 1
            reply = f"_INBOX.{self.prefix}.r.{self._asked}"
        self.wire.receive(Pub(self.real.heard[key][place].reply, reply, None, body))
        self.advance()
        acked = self.model.heard[key][place].reply
        self.session.receive(Pub(acked, reply, None, body))
        stream, name = acked.split(".")[2:4]
        await self.see_state(stream.removeprefix(self.prefix), name)

    _asked: int

    @abstractmethod
    def advance(self) -> None: ...

    async def _read(self, wanted: Read) -> None:
        stream = self.streams[wanted.where % len(self.streams)]
        pattern = layout.patterns(self.prefix, stream)[wanted.pattern]
        if stream == "WK":
            stream, pattern = "OLD", f"{self.prefix}.old.*"
        name = f"reader-{wanted.name}"
        config = {
            "name": name,
            "filter_subject": pattern,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": wanted.start + 1,
            "ack_policy": "none",
            "mem_storage": True,
            "num_replicas": 1,
            "inactive_threshold": 30 * S,
        }
        if wanted.start == 8:
            config |= {"deliver_policy": "new"}
            del config["opt_start_seq"]
        if wanted.batch % 2:
            await self.ask(f"$JS.API.CONSUMER.DELETE.{self.prefix}{stream}.{name}")
        elif f"{self.prefix}{stream}" in self.broker.jetstream.streams:
            there = self.broker.jetstream.streams[f"{self.prefix}{stream}"].consumers.get(name)
            if there is not None and there.config.filter_subject != pattern:
                pattern = there.config.filter_subject
                config["filter_subject"] = pattern
        request = {"stream_name": f"{self.prefix}{stream}", "config": config}
        await self.ask(f"$JS.API.CONSUMER.CREATE.{self.prefix}{stream}.{name}.{pattern}", request)
        pull = Pull(0, wanted.batch, 6, False, False, 0)
        await self._pull(stream, name, pull)
        await self.settle()
        await self.ask(f"$JS.API.CONSUMER.INFO.{self.prefix}{stream}.{name}")

    async def _ask_nobody(self, which: int) -> None:
        p = self.prefix
        subject, body = [
            (f"{p}.nobody", b""),
            (f"$JS.API.STREAM.INFO.{p}NONE", b""),
            (f"$JS.API.CONSUMER.INFO.{p}WK.nobody", b""),
            (f"$JS.API.CONSUMER.MSG.NEXT.{p}WK.nobody", b'{"batch":1}'),
            (f"$JS.ACK.{p}WK.nobody.1.1.1.1.0", b"+ACK"),
            (f"$JS.API.CONSUMER.DELETE.{p}NONE.nobody", b""),
            (f"$JS.API.STREAM.MSG.GET.{p}NONE", b'{"seq":1}'),
        ][which]
        await self.ask(subject, body)

    async def _listen(self, pattern: int, subject: int) -> None:
        sid = 10 + pattern
        if sid in self._listening:
            del self._listening[sid]
            self.both(Unsub(sid))
        else:
            self._listening[sid] = pattern
            self.both(Sub(sid, f"{self.prefix}.{LISTENED[pattern]}"))
        await self.ask(f"{self.prefix}.{PLAIN[subject]}", b"hello", {"Name": "value"})

    async def _pause(self, which: int, tenths: int) -> None:
        stream, name = layout.CONSUMERS[which]
        until = rfc3339(int((time.time() + tenths / 10) * 1e9)) if tenths > 2 else ""
        body = {"pause_until": until} if until else b""
        await self.ask(f"$JS.API.CONSUMER.PAUSE.{self.prefix}{stream}.{name}", body)
