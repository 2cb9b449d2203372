"""JetStream: streams by subject and by name, and everything that begins with ``$JS.``."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import msgspec

from squall.chaos.model import telling
from squall.chaos.model.clock import Alarms
from squall.chaos.model.configs import ConsumerConfig, SourceConfig, StreamConfig, decode
from squall.chaos.model.consumers import Consumer, OnDeliver
from squall.chaos.model.errors import Unmodelled
from squall.chaos.model.frames import Headers
from squall.chaos.model.post import Post
from squall.chaos.model.publishing import publish
from squall.chaos.model.pulls import Asked
from squall.chaos.model.sources import Pace, Rename, Source, rename
from squall.chaos.model.streams import Stored, Stream
from squall.chaos.model.subjects import Matches, SubjectIndex, matcher

NEXT = "$JS.API.CONSUMER.MSG.NEXT."
ACK = "$JS.ACK."
DIRECT = "$JS.API.DIRECT.GET."

LAST_SEQUENCE, PENDING = "Nats-Last-Sequence", "Nats-Num-Pending"

PENDING_BYTES_MAX = 64 * 1024 * 1024
"""What may wait for a client; an answer of many messages ends there, too."""


class _DirectRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    seq: int = 0
    batch: int = 0
    max_bytes: int = 0
    next_by_subj: str = ""


class JetStream:
    """All streams of one server.

    Attributes:
        on_store: Called with each message that any stream stores; None is nobody.
        on_deliver: Called with each delivery of any consumer.
        pace: How fast streams copy of each other.
        stored: Messages that were stored.
    """

    def __init__(self, alarms: Alarms, chance: random.Random, post: Post) -> None:
        self.alarms = alarms
        self.streams: dict[str, Stream] = {}
        self.on_store: Callable[[Stream, Stored], None] | None = None
        self.on_deliver: OnDeliver | None = None
        self.pace = Pace()
        self.stored = 0
        self._chance = chance
        self._post = post
        self._by_subject: SubjectIndex[Stream] = SubjectIndex()
        self._republished: dict[str, tuple[Matches, Rename]] = {}

    # Streams and consumers.

    def add_stream(self, config: StreamConfig) -> Stream:
        """Make a stream, whose configuration is complete and right."""
        identity = f"{self._chance.getrandbits(32):08x}"
        stream = Stream(config, self.alarms, identity, self._on_store)
        self.streams[config.name] = stream
        for pattern in config.subjects:
            self._by_subject.add(pattern, stream)
        for source in config.sources:
            self._copy(source, stream)
        if again := config.republish:
            self._republished[config.name] = matcher(again.src), rename(again.src, again.dest)
        return stream

    def _copy(self, source: SourceConfig, target: Stream) -> None:
        stream = self.streams.get(source.name)
        if stream is None:
            raise Unmodelled(f"a stream that copies of one that is not there yet: {source.name}")
        Source(stream, target, source, alarms=self.alarms, chance=self._chance, pace=self.pace)

    def remove_stream(self, stream: Stream) -> None:
        if stream.feeds:
            raise Unmodelled(f"removing {stream.name}, of which other streams copy")
        for consumer in list(stream.consumers.values()):
            self.remove_consumer(consumer)
        for source in stream.sources:
            source.stream.feeds.remove(source)
        for pattern in stream.config.subjects:
            self._by_subject.remove(pattern, stream)
        del self.streams[stream.name]
        self._republished.pop(stream.name, None)

    def add_consumer(self, stream: Stream, name: str, config: ConsumerConfig) -> Consumer:
        """Make a consumer, whose configuration is complete and right."""
        consumer = stream.consumers[name] = Consumer(
            stream,
            name,
            config,
            post=self._post,
            alarms=self.alarms,
            chance=self._chance,
            on_deliver=self._on_deliver,
            on_gone=self.remove_consumer,
        )
        return consumer

    def remove_consumer(self, consumer: Consumer) -> None:
        del consumer.stream.consumers[consumer.name]
        consumer.requests.refuse()

    def consumers(self) -> Iterator[Consumer]:
        for stream in self.streams.values():
            yield from list(stream.consumers.values())

    def _on_store(self, stream: Stream, message: Stored, before: int) -> None:
        self.stored += 1
        if self.on_store is not None:
            self.on_store(stream, message)
        again = self._republished.get(stream.name)
        if again is not None and again[0](message.subject):
            self._say_again(stream, message, before, again[1](message.subject))

    def _say_again(self, stream: Stream, message: Stored, before: int, subject: str) -> None:
        if self._by_subject.find(subject):
            raise Unmodelled(f"a stream that stores what {stream.name} says again on {subject}")
        ears = self._post.core.find(subject)
        if ears:
            headers = {**telling.direct(stream, message), LAST_SEQUENCE: str(before)}
            self._post.hand(ears, subject, "", headers, message.data)

    def _on_deliver(self, consumer: Consumer, message: Stored, attempt: int, inbox: str) -> None:
        if self.on_deliver is not None:
            self.on_deliver(consumer, message, attempt, inbox)

    # What is published.

    def take(self, subject: str, reply: str, headers: Headers, data: bytes) -> bool:
        """Take in what is published to a stream, if it is to one; whether it is."""
        streams = self._by_subject.find(subject)
        for stream in streams:
            answer = publish(stream, subject, headers, data)
            if reply and answer is not None and not stream.config.no_ack:
                self._post.send(reply, answer)
        return bool(streams)

    def acknowledge(self, subject: str, reply: str, data: bytes) -> bool:
        """Take in an acknowledgement; whether there is a consumer for it."""
        tokens = subject.split(".")
        consumer = self._consumer(tokens[2], tokens[3]) if len(tokens) == 9 else None
        if consumer is None or not consumer.config.is_explicit:
            return False
        if not (tokens[5].isdecimal() and tokens[6].isdecimal()):
            raise Unmodelled(f"an acknowledgement on {subject}")
        if consumer.answer(int(tokens[5]), int(tokens[6]), data) and reply:
            self._post.send(reply, b"")
        return True

    def ask(self, subject: str, reply: str, data: bytes) -> bool:
        """Take in a pull request; whether there is a consumer for it."""
        stream, _, name = subject[len(NEXT) :].partition(".")
        consumer = self._consumer(stream, name)
        if consumer is None:
            return False
        if not data:
            asked = Asked(batch=1)
        elif data.isdigit():
            asked = Asked(batch=int(data))
        else:
            asked = decode(data, Asked)
        if reply:
            consumer.ask(reply, asked)
        return True

    def _consumer(self, stream: str, name: str) -> Consumer | None:
        found = self.streams.get(stream)
        return found.consumers.get(name) if found else None

    def direct(self, subject: str, reply: str, data: bytes) -> bool:
        """Answer with the newest message of the subject that the request's own ends with, or by places.

        Returns:
            Whether anything listens for such a request.
        """
        name, _, wanted = subject[len(DIRECT) :].partition(".")
        stream = self.streams.get(name)
        if stream is None or not stream.config.allow_direct:
            return False
        if bool(wanted) == bool(data):
            raise Unmodelled(f"a direct get with a body on {subject}: {data[:200]!r}")
        if not reply:
            return True
        if data:
            self._direct(stream, decode(data, _DirectRequest), reply)
            return True
        message = stream.messages.get(stream.last_on(wanted))
        if message is None:
            self._post.status(reply, "404", "Message Not Found")
        else:
            self._post.send(reply, message.data, telling.direct(stream, message))
        return True

    def _direct(self, stream: Stream, asked: _DirectRequest, reply: str) -> None:
        """Answer with the messages from a place on; without a batch, with the one that is there, or the
        oldest from there on of a pattern."""
        if asked.next_by_subj and not asked.batch and not asked.max_bytes:
            found = stream.next_on(asked.next_by_subj, asked.seq)
            if found is None:
                self._post.status(reply, "404", "Message Not Found")
            else:
                self._post.send(reply, found.data, telling.direct(stream, found))
            return
        if asked.next_by_subj or asked.seq < 1 or asked.batch < 0 or asked.max_bytes < 0:
            raise Unmodelled(f"a direct get of {stream.name}: {asked}")
        if not asked.batch:
            message = stream.messages.get(asked.seq)
            if message is None:
                self._post.status(reply, "404", "Message Not Found")
            else:
                self._post.send(reply, message.data, telling.direct(stream, message))
            return
        places = list(stream.matching(matcher(), asked.seq))
        if not places:
            self._post.status(reply, "404", "Message Not Found")
            return
        last = size = 0
        left = len(places)
        for place in places[: asked.batch]:
            message, left = stream.messages[place], left - 1
            more = {PENDING: str(left), LAST_SEQUENCE: str(last)}
            self._post.send(reply, message.data, {**telling.direct(stream, message), **more})
            last = place
            size += len(message.subject) + message.header_bytes + len(message.data)
            if size >= (asked.max_bytes or PENDING_BYTES_MAX):
                break
        end = {"Nats_Num_Pending": str(left), "Nats_Last_Sequence": str(last)}
        self._post.status(reply, "204", "EOB", **end)

    # The server's process.

    def killed(self) -> None:
        """The process has ended at once. What streams stored the operating system has."""
        for consumer in self.consumers():
            consumer.killed(self._chance)
        for stream in self.streams.values():
            if stream.config.storage == "memory":
                raise Unmodelled(f"the end of a process with {stream.name} in its memory")

    def restart(self) -> None:
        """Another process reads what is there."""
        for stream in self.streams.values():
            for consumer in list(stream.consumers.values()):
                if consumer.config.mem_storage:
                    del stream.consumers[consumer.name]
                elif not consumer.config.durable_name:
                    raise Unmodelled(f"a restart with {consumer.name}, which has no name to last")
            stream.restart()
        for consumer in self.consumers():
            consumer.restart()
            consumer.first_told = telling.consumer_info(consumer, self.alarms)
        for stream in self.streams.values():
            for source in stream.sources:
                source.restart()
